//! Sessions of the native dialect, what they are subscribed to, and what was published to them.

use std::fmt;

use super::admission::read;
use super::page::Page;

impl Page<'_, '_> {
    pub(super) fn sessions(&mut self) -> fmt::Result {
        let broker = &self.node.broker;
        let (kept, stats) = (broker.outside.stats().sessions, &broker.stats);
        let connected = broker.roster.len() as u64;
        self.gauge("sessions", "Sessions with a connection on this node", None, connected)?;
        let events = [
            ("opened", read(&stats.sessions_opened)),
            ("resumed", kept.resumed_total),
            ("taken_over", read(&stats.sessions_taken_over)),
            ("not_resumable", kept.not_resumable_total),
            ("expired", kept.expired_total),
            ("evicted", kept.evicted_total),
            ("refused", kept.refused_total),
            ("fenced", kept.fenced_total),
        ];
        self.counters(
            "session_events",
            "What became of sessions; those taken over were resumed while their connection was still there",
            None,
            "event",
            &events,
        )?;
        self.histogram(
            "resume_duration",
            "From a client's wish to resume its session to its having it",
            &stats.resume_durations.total(),
        )?;
        let subscriptions = self.sum(|stats| &stats.subscriptions);
        self.gauge("subscriptions", "Subscriptions of clients of the native dialect", None, subscriptions)?;
        let channels = self.node.directory.len() as u64;
        self.gauge("channels", "Channels with members on this node", None, channels)
    }

    pub(super) fn deliveries(&mut self) -> fmt::Result {
        let stats = &self.node.broker.stats;
        let publications =
            [("client", self.sum(|stats| &stats.publications)), ("server", read(&stats.server_publications))];
        self.counters(
            "publications",
            "Publications on channels of the native dialect, those with a known key left out",
            None,
            "source",
            &publications,
        )?;
        let shed = [
            ("drop_oldest", self.sum(|stats| &stats.messages_dropped)),
            ("conflate", self.sum(|stats| &stats.messages_conflated)),
        ];
        self.counters(
            "messages_shed",
            "Messages left out for slow readers of channels that allow it",
            None,
            "policy",
            &shed,
        )?;
        self.counter(
            "gaps_told",
            "Times that clients of a channel were told of messages they lost",
            |stats| &stats.gaps_told,
        )?;
        self.counter("gaps_repaired", "Times that missing publications were read from history", |stats| {
            &stats.gaps_repaired
        })?;
        self.counter(
            "publications_duplicate",
            "Publications that came to a worker more than once",
            |stats| &stats.publications_duplicate,
        )?;
        let directs = [
            ("delivered", self.sum(|stats| &stats.directs_delivered)),
            ("not_connected", self.sum(|stats| &stats.directs_dropped)),
        ];
        self.counters(
            "direct_messages",
            "Direct messages at the sessions they were routed to; `not_connected`: `connect` was not answered yet",
            None,
            "outcome",
            &directs,
        )?;
        let lost = read(&self.node.broker.stats.letters_lost);
        self.counter_of("mailbox_losses", "Letters given up because a worker's mailbox stayed full", lost)
    }
}
