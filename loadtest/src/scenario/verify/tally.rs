//! What a verification counts, and what becomes of it in the report.

use std::collections::BTreeMap;

use super::timeline::Timeline;
use crate::latency::Latency;
use crate::report::Faults;

/// All counts of a run.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) sent: u64,
    /// Sent again after a connection was lost, with the same key.
    pub(super) sent_again: u64,
    pub(super) acknowledged: u64,
    /// Publishes that the server recognised by their key.
    pub(super) recognised: u64,
    pub(super) delivered: u64,
    pub(super) replayed: u64,
    /// Channels without history: published while the subscriber was away.
    pub(super) missed_away: u64,
    pub(super) cuts: u64,
    pub(super) stalls: u64,
    /// Times the server asked a client to come back elsewhere.
    pub(super) announced_reconnects: u64,
    /// Connections that ended with a close frame, and without one.
    pub(super) closes_with_a_code: u64,
    pub(super) unannounced_closes: u64,
    /// Connections given up because nothing came on them any more.
    pub(super) silent_connections: u64,
    /// Attempts to come back that came to nothing.
    pub(super) refused_connects: u64,
    /// Publishes that the server did not take yet, and that were sent again.
    pub(super) refused_for_now: u64,
    /// Subscriptions asked for again that the server could not make for now.
    pub(super) subscribed_again: u64,
    /// Times the server said, in a connection, that messages are lost.
    pub(super) gaps_told: u64,
    /// Sessions that went on.
    pub(super) resumed: u64,
    /// Clients that had to come back, and how often at most one of them had to.
    pub(super) returned: u64,
    pub(super) returns_peak: u64,
    /// Channels, over all resumes, of which the server said that nothing is missing.
    pub(super) recovered: u64,
    /// And of which it said that something is.
    pub(super) not_recovered: u64,
    wrong: [u64; Wrong::ALL.len()],
    /// From when a message was due to its delivery; replayed ones are left out.
    pub(super) delivery: Latency,
    /// From when a message was due to the reply to its publish.
    pub(super) acknowledgement: Latency,
    /// From setting out to come back to the reply to `connect`.
    pub(super) resume: Latency,
    /// From the loss of the connection to the reply to `connect` on the next.
    pub(super) resume_from_loss: Latency,
    /// From setting out to come back to the last replayed message.
    pub(super) catch_up: Latency,
    pub(super) timeline: Timeline,
    pub(super) endings: BTreeMap<String, u64>,
    /// Whatever is wrong, within its bound or not.
    pub(super) faults: Faults,
    /// What is beyond its bound.
    pub(super) violations: Vec<String>,
}

/// What may be wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wrong {
    /// It never came, and nobody said so.
    Lost,
    /// It never came, and the server said so: still too few on a channel with history.
    LostAsTold,
    /// It came twice, and nothing had been said in between.
    Duplicated,
    /// It was sent again, and the server has said that it had forgotten its key: the channel began anew, or the session of its
    /// publisher was over, who has no other name.
    DuplicatedAsTold,
    Reordered,
    /// Another content than was sent.
    Damaged,
    /// `recovered` says something else than what comes.
    FalseClaim,
    /// A session was cut and did not go on.
    NotResumed,
    /// The server did not take a command.
    Refused,
    /// Anything else that the dialect does not allow.
    Protocol,
    /// Somebody is present who is not there.
    Ghost,
    /// Somebody is there who is not present.
    Absent,
}

impl Wrong {
    const ALL: [Self; 12] = [
        Self::Lost,
        Self::LostAsTold,
        Self::Duplicated,
        Self::DuplicatedAsTold,
        Self::Reordered,
        Self::Damaged,
        Self::FalseClaim,
        Self::NotResumed,
        Self::Refused,
        Self::Protocol,
        Self::Ghost,
        Self::Absent,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost silently",
            Self::LostAsTold => "lost, as told",
            Self::Duplicated => "duplicated silently",
            Self::DuplicatedAsTold => "duplicated, as told",
            Self::Reordered => "reordered",
            Self::Damaged => "damaged",
            Self::FalseClaim => "falsely recovered",
            Self::NotResumed => "not resumed",
            Self::Refused => "refused",
            Self::Protocol => "against the protocol",
            Self::Ghost => "ghosts",
            Self::Absent => "absent",
        }
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            sent: 0,
            sent_again: 0,
            acknowledged: 0,
            recognised: 0,
            delivered: 0,
            replayed: 0,
            missed_away: 0,
            cuts: 0,
            stalls: 0,
            announced_reconnects: 0,
            closes_with_a_code: 0,
            unannounced_closes: 0,
            silent_connections: 0,
            refused_connects: 0,
            refused_for_now: 0,
            subscribed_again: 0,
            gaps_told: 0,
            resumed: 0,
            returned: 0,
            returns_peak: 0,
            recovered: 0,
            not_recovered: 0,
            wrong: [0; Wrong::ALL.len()],
            delivery: Latency::new(),
            acknowledgement: Latency::new(),
            resume: Latency::new(),
            resume_from_loss: Latency::new(),
            catch_up: Latency::new(),
            timeline: Timeline::default(),
            endings: BTreeMap::new(),
            faults: Faults::default(),
            violations: Vec::new(),
        }
    }

    /// A client has come back for the `times`th time.
    pub(super) fn note_return(&mut self, times: u64) {
        self.returned += u64::from(times == 1);
        self.returns_peak = self.returns_peak.max(times);
    }

    /// `count` of something are wrong; none is nothing.
    pub(super) fn found(&mut self, wrong: Wrong, count: u64, words: impl FnOnce() -> String) {
        if count > 0 {
            self.wrong[wrong as usize] += count;
            self.faults.add(words);
        }
    }

    pub(super) fn count_of(&self, wrong: Wrong) -> u64 {
        self.wrong[wrong as usize]
    }

    /// Silently or not.
    pub(super) fn lost(&self) -> u64 {
        self.count_of(Wrong::Lost) + self.count_of(Wrong::LostAsTold)
    }

    /// As told or not.
    fn duplicated(&self) -> u64 {
        self.count_of(Wrong::Duplicated) + self.count_of(Wrong::DuplicatedAsTold)
    }

    /// By name, for the report.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::from([
            ("sent", self.sent),
            ("sent again", self.sent_again),
            ("acknowledged", self.acknowledged),
            ("recognised by key", self.recognised),
            ("delivered", self.delivered),
            ("replayed", self.replayed),
            ("missed while away", self.missed_away),
            ("cut", self.cuts),
            ("stalled", self.stalls),
            ("announced reconnects", self.announced_reconnects),
            ("closes with a code", self.closes_with_a_code),
            ("unannounced closes", self.unannounced_closes),
            ("silent connections", self.silent_connections),
            ("refused connects", self.refused_connects),
            ("refused for now", self.refused_for_now),
            ("subscribed again", self.subscribed_again),
            ("gaps told", self.gaps_told),
            ("peak retries a second", self.timeline.retries_peak()),
            ("lost", self.lost()),
            ("duplicated", self.duplicated()),
            ("resumed", self.resumed),
            ("clients that came back", self.returned),
            ("most returns of a client", self.returns_peak),
            ("recovered true", self.recovered),
            ("recovered false", self.not_recovered),
        ]);
        counts.extend(Wrong::ALL.map(|wrong| (wrong.name(), self.count_of(wrong))));
        counts
    }

    /// For the line of whoever watches.
    pub(super) fn progress(&self) -> String {
        let Self { sent, delivered, cuts, resumed, .. } = self;
        format!(
            "{sent} sent, {delivered} delivered, {cuts} cut, {resumed} resumed, {} faults",
            self.faults.count
        )
    }

    /// The report's faults: those beyond their bounds, and then examples of what was wrong.
    pub(super) fn judged(&self) -> Faults {
        let mut judged = Faults::default();
        self.violations.iter().for_each(|violation| judged.add(|| violation.clone()));
        if judged.count > 0 {
            judged.count = judged.count.max(self.faults.count);
            judged.first.extend(self.faults.first.iter().cloned());
        }
        judged
    }

    /// The verdict in a sentence.
    pub(super) fn conclusion(&self) -> String {
        let Self { sent, acknowledged, delivered, resumed, .. } = self;
        let (lost, silently) = (self.lost(), self.count_of(Wrong::Lost));
        let (duplicated, reordered) = (self.duplicated(), self.count_of(Wrong::Reordered));
        let resume = self.resume.summary("resume");
        let mut words = format!(
            "{sent} messages sent, {acknowledged} acknowledged, {delivered} delivered: {lost} lost, \
             {duplicated} duplicated, {reordered} reordered."
        );
        if lost > 0 {
            words += &format!(" Of the loss, {silently} were lost silently, {} were told.", lost - silently);
        }
        if duplicated > 0 {
            let silently = self.count_of(Wrong::Duplicated);
            words += &format!(
                " Of what came twice, {silently} came silently, {} since keys were forgotten, as told.",
                duplicated - silently
            );
        }
        if resume.count > 0 {
            words += &format!(
                " {resumed} sessions resumed, half of them within {:.1} ms, 99 % within {:.1} ms.",
                resume.p50_us / 1e3,
                resume.p99_us / 1e3
            );
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_counted_under_its_name() {
        let mut tally = Tally::new();
        for (at, wrong) in Wrong::ALL.into_iter().enumerate() {
            assert_eq!(wrong as usize, at);
            tally.found(wrong, at as u64, || "bad".to_owned());
        }
        assert_eq!(tally.counts()["lost silently"], 0);
        assert_eq!(tally.counts()["lost"], 1, "told or not");
        assert_eq!(tally.counts()["duplicated"], 2 + 3, "told or not");
        assert_eq!(tally.counts()["reordered"], 4);
        assert_eq!(tally.counts()["against the protocol"], 9);
        assert_eq!(tally.counts()["absent"], 11);
        assert_eq!(tally.faults.count, 11, "none of something is no fault");
    }

    #[test]
    fn the_sentence_tells_of_resumes_where_there_were_some() {
        let mut tally = Tally::new();
        tally.sent = 5;
        assert!(tally.conclusion().ends_with("0 lost, 0 duplicated, 0 reordered."));
        tally.resume.record(2_000_000);
        assert!(tally.conclusion().contains("half of them within 2.0 ms"), "{}", tally.conclusion());
    }
}
