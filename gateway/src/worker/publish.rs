//! The end of a turn: runs of frames go to the members of their channels, here and on the other workers.

use std::sync::Arc;

use tidegate_protocol::cause::CloseCause;
use tidegate_protocol::event::Gap;
use tidegate_protocol::position::Position;
use tidegate_wire::pool::PoolExhausted;

use super::mail::{Mail, Parcel, ParcelRun};
use super::{SCRATCH_KEPT_BYTES, Worker};
use crate::connection::outbox::shed::Mark;
use crate::connection::{Connection, Io, SendError};
use crate::hub::run::{CompressedForms, Published, Reach, append_with_window};
use crate::hub::{ChannelIndex, Delivery, Hub, Member, Membership};
use crate::metrics::stats::WorkerStats;

/// Most deliveries of one turn, where nobody else wants anything; a long run counts as several.
pub(super) const DELIVERY_UNITS_A_TURN: usize = 512;
/// Deliveries of a turn beside other events, so that they wait no longer than some tens of sends take; and how fast a turn's
/// share grows again while there are none.
const DELIVERY_UNITS_BESIDE_EVENTS: usize = 32;
/// Handling an event takes about as long as so many deliveries: who sends much does not starve those who listen.
const DELIVERY_UNITS_AN_EVENT: usize = 4;
/// Writing so many bytes more takes no longer than another write, whether the socket takes them or they have to be kept.
const BYTES_A_DELIVERY_UNIT: usize = 512;

/// Whole frames that lie side by side.
#[derive(Clone, Copy)]
struct Frames<'f> {
    bytes: &'f [u8],
    messages: u32,
    /// One mark a frame, where frames may be left out for a slow reader; else none.
    marks: &'f [Mark],
}

impl Worker {
    /// Sends out what was published since the last time, as far as this turn's share of deliveries goes.
    pub(super) fn deliver_published(&mut self) {
        if self.is_congested() {
            self.drive_lanes();
        }
        if self.published.is_empty() {
            return self.hub.forget_deserted();
        }
        let mut published = std::mem::take(&mut self.published);
        published.seal();
        if self.lanes.len() > 1 {
            self.post_parcels(&published);
        }
        for run in published.runs() {
            let bytes = &published.frames()[run.bytes.clone()];
            let marks = published.marks(run);
            self.deliver(run.channel, Frames { bytes, messages: run.messages, marks });
        }
        published.clear(SCRATCH_KEPT_BYTES);
        // Nothing publishes while publications are delivered, so what was taken is what is put back.
        self.published = published;
        self.hub.forget_deserted();
    }

    /// Delivers what another worker's clients published.
    pub(super) fn deliver_parcel(&mut self, parcel: &Parcel) {
        // Letters that came before it may be the same publisher's earlier messages.
        self.deliver_published();
        for run in &parcel.runs {
            // The last member may have left while the parcel was on its way.
            if let Some(channel) = self.hub.find(run.channel.realm, &run.channel.name) {
                let marks: Vec<_> = run.marks.iter().map(|mark| Mark { channel, ..*mark }).collect();
                let bytes = &parcel.frames[run.bytes.clone()];
                self.deliver(channel, Frames { bytes, messages: run.messages, marks: &marks });
            }
        }
    }

    /// Goes on with what earlier turns could not finish: a part of a channel, then a part of the next one.
    pub(super) fn continue_deliveries(&mut self, events: usize) {
        self.delivery_share = share_of_turn(self.delivery_share, events);
        self.delivery_units = self.delivery_share;
        while self.delivery_units > 0
            && let Some((channel, mut delivery)) = self.hub.take_busy()
        {
            let Delivery { frames, messages, next, end, forms, marks } = &mut delivery;
            let run = Frames { bytes: frames, messages: *messages, marks };
            let ending = self.send_part(channel, run, next, *end, forms);
            self.hub.put_back(channel, delivery);
            self.end_all(ending);
        }
    }

    /// Sends whole frames to every member of a channel, or begins to: behind a backlog, or beyond this turn's share,
    /// they become a part of it.
    fn deliver(&mut self, channel: ChannelIndex, run: Frames<'_>) {
        let Some(entry) = self.hub.channel(channel) else { return };
        let end = u32::try_from(entry.members().len()).expect("members are connections, which a u32 counts");
        let mut next = 0;
        let mut forms = std::mem::take(&mut self.forms);
        let mut ending = Vec::new();
        if entry.backlog_runs() == 0 {
            ending = self.send_part(channel, run, &mut next, end, &mut forms);
        }
        if next < end {
            let forms = std::mem::take(&mut forms);
            let (frames, marks) = (run.bytes.to_vec(), run.marks.to_vec());
            let messages = run.messages;
            self.hub.keep(channel, Delivery { frames, messages, next, end, forms, marks });
        }
        forms.clear();
        self.forms = forms;
        self.end_all(ending);
    }

    /// Sends frames to the members from `next` to `end`, straight to the sockets that take them, and moves `next` as far
    /// as this turn's share goes. The result is the members that cannot stay.
    fn send_part(
        &mut self,
        channel: ChannelIndex,
        run: Frames<'_>,
        next: &mut u32,
        end: u32,
        forms: &mut CompressedForms,
    ) -> Vec<(u32, CloseCause)> {
        let Some(channel) = self.hub.channel(channel) else { return Vec::new() };
        let units = 1 + run.bytes.len() / BYTES_A_DELIVERY_UNIT;
        let most = u32::try_from(self.delivery_units.div_ceil(units)).unwrap_or(u32::MAX);
        let until = end.min(next.saturating_add(most));
        let members = &channel.members()[*next as usize..until as usize];
        self.delivery_units = self.delivery_units.saturating_sub(members.len() * units);
        *next = until;

        let outbox_bytes_max = self.outbox_bytes_max();
        let io = Io { registry: &self.registry, pool: &self.pool, stats: &self.stats, now: self.now };
        let threshold = self.node.compression.threshold_bytes;
        let stalled_at = self.now + self.write_ticks();
        let mut ending = Vec::new();
        for &Member { connection: member, .. } in members {
            let slot = member as usize;
            let connection: &mut Connection = &mut self.connections[slot];
            let sent = match &mut connection.deflate {
                None => connection.send_marked(&io, slot, run.bytes, run.marks),
                Some(deflate) => match deflate.shares() {
                    Some(bits) => {
                        let form = forms.form(run.bytes, bits, threshold, &mut self.deflater);
                        connection.send_marked(&io, slot, form, run.marks)
                    }
                    // What its own window has seen cannot be left out: it has no marks.
                    None => {
                        self.windowed.clear();
                        append_with_window(run.bytes, deflate, &mut self.deflater, &mut self.windowed);
                        connection.send(&io, slot, &self.windowed)
                    }
                },
            };
            match sent {
                Ok(()) if !connection.has_unsent() => {}
                Ok(()) if connection.outbox.len() <= outbox_bytes_max => {
                    connection.schedule(&mut self.wheel, slot, stalled_at);
                }
                Ok(()) if !run.marks.is_empty() => {
                    match shed(connection, &self.hub, &self.stats, outbox_bytes_max) {
                        Ok(()) => connection.schedule(&mut self.wheel, slot, stalled_at),
                        Err(PoolExhausted) => ending.push((member, CloseCause::SlowConsumer)),
                    }
                }
                Ok(()) => ending.push((member, CloseCause::SlowConsumer)),
                Err(SendError::Socket) => ending.push((member, CloseCause::ConnectionLost)),
                Err(SendError::PoolExhausted) => ending.push((member, CloseCause::SlowConsumer)),
            }
        }
        let deliveries = members.len() as u64;
        self.stats.messages_out.add(deliveries * u64::from(run.messages));
        self.stats.message_bytes_out.add(deliveries * run.bytes.len() as u64);
        ending
    }

    /// Sends a member that is about to leave what has been published for it and has not reached it.
    pub(super) fn deliver_rest(&mut self, membership: Membership, slot: usize) {
        let Some(channel) = self.hub.channel(membership.channel) else { return };
        let connection = &mut self.connections[slot];
        let io = Io { registry: &self.registry, pool: &self.pool, stats: &self.stats, now: self.now };
        for run in channel.backlog_of(membership.position) {
            let sent = match &mut connection.deflate {
                None => connection.send(&io, slot, &run.frames),
                Some(deflate) => {
                    self.windowed.clear();
                    append_with_window(&run.frames, deflate, &mut self.deflater, &mut self.windowed);
                    connection.send(&io, slot, &self.windowed)
                }
            };
            if sent.is_err() {
                // The connection ends now in any case.
                return;
            }
            self.stats.messages_out.add(u64::from(run.messages));
            self.stats.message_bytes_out.add(run.frames.len() as u64);
        }
    }

    fn end_all(&mut self, ending: Vec<(u32, CloseCause)>) {
        for (member, cause) in ending {
            match cause {
                CloseCause::ConnectionLost => self.lose(member as usize, cause),
                _ => self.end(member as usize, cause),
            }
        }
    }

    /// What one outbox may hold now: `limits.outbox_bytes`, or a share of what is left of the pool if that is less, so that
    /// many slow clients together never leave the others without buffers (dynamic thresholds: Choudhury and Hahne,
    /// IEEE/ACM Transactions on Networking 6(2), 1998).
    pub(super) fn outbox_bytes_max(&self) -> usize {
        const SHARE_OF_REST: usize = 8;
        let rest = self.pool_bytes_max.saturating_sub(self.pool.stats().in_use_bytes);
        self.node.limits.outbox_bytes.min(rest / SHARE_OF_REST)
    }

    /// Sends this turn's frames to the workers that have members of their channels: one letter each.
    fn post_parcels(&mut self, published: &Published) {
        let mut runs: Vec<Vec<ParcelRun>> = vec![Vec::new(); self.lanes.len()];
        for run in published.runs().iter().filter(|run| run.reach == Reach::Node) {
            let Some(channel) = self.hub.channel(run.channel) else { continue };
            for worker in channel.entry.other_workers(self.index) {
                runs[worker].push(ParcelRun {
                    channel: Arc::clone(&channel.entry),
                    bytes: run.bytes.clone(),
                    messages: run.messages,
                    marks: published.marks(run).into(),
                });
            }
        }
        if runs.iter().all(Vec::is_empty) {
            return;
        }
        let frames: Arc<[u8]> = published.frames().into();
        for (lane, runs) in self.lanes.iter_mut().zip(runs) {
            if !runs.is_empty() {
                lane.push_back(Parcel { frames: Arc::clone(&frames), runs });
            }
        }
        self.drive_lanes();
    }

    /// Posts what waits, in order, as far as the other workers' mailboxes take it.
    fn drive_lanes(&mut self) {
        for (post, lane) in self.node.posts().iter().zip(&mut self.lanes) {
            while let Some(parcel) = lane.pop_front() {
                if let Err(Mail::Parcel(parcel)) = post.try_send(Mail::Parcel(parcel)) {
                    lane.push_front(parcel);
                    self.stats.mail_waits.add(1);
                    break;
                }
            }
        }
    }

    /// Whether another worker does not keep up. Then no client is read until it does: nothing is dropped, and what
    /// waits is at most what one turn published.
    pub(super) fn is_congested(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.is_empty())
    }
}

/// The deliveries of a turn with so many events, after one that had `last`.
fn share_of_turn(last: usize, events: usize) -> usize {
    let share = match events {
        0 => last + DELIVERY_UNITS_BESIDE_EVENTS,
        _ => DELIVERY_UNITS_BESIDE_EVENTS + events * DELIVERY_UNITS_AN_EVENT,
    };
    share.min(DELIVERY_UNITS_A_TURN)
}

/// Leaves out what a slow reader's channels allow, down to half of what may wait, so that it is not done for each message.
fn shed(
    connection: &mut Connection,
    hub: &Hub,
    stats: &WorkerStats,
    outbox_bytes_max: usize,
) -> Result<(), PoolExhausted> {
    let before = connection.outbox.len();
    let shed = connection.outbox.shed(outbox_bytes_max / 2, |out, lost| {
        let Some(channel) = hub.channel(lost.channel) else { return };
        let feed = channel.feed.as_deref().filter(|_| lost.offset > 0);
        let position = feed.map(|feed| Position { offset: lost.offset, ..feed.head() }.next());
        stats.gaps_told.add(1);
        Worker::append_gap(out, &Gap { channel: (&*channel.entry.name).into(), position });
    })?;
    stats.messages_dropped.add(shed.dropped);
    stats.messages_conflated.add(shed.replaced);
    let after = connection.outbox.len();
    stats.outbox_bytes.sub(before as u64);
    stats.outbox_bytes.add(after as u64);
    if after > outbox_bytes_max { Err(PoolExhausted) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::{DELIVERY_UNITS_A_TURN, share_of_turn};

    #[test]
    fn a_turns_share_of_deliveries_is_small_beside_events_and_grows_without() {
        assert_eq!(share_of_turn(0, 0), 32);
        assert_eq!(share_of_turn(32, 0), 64);
        assert_eq!(share_of_turn(DELIVERY_UNITS_A_TURN, 0), DELIVERY_UNITS_A_TURN);
        assert_eq!(share_of_turn(DELIVERY_UNITS_A_TURN, 1), 36);
        assert_eq!(
            share_of_turn(0, 128),
            DELIVERY_UNITS_A_TURN,
            "a full turn delivers as much as it takes in"
        );
    }
}
