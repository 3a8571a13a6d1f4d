//! The end of a turn: runs of frames go to the members of their channels, here and on the other workers.

use std::sync::Arc;

use super::mail::{Mail, Parcel, ParcelRun};
use super::{SCRATCH_KEPT_BYTES, Worker};
use crate::connection::{Connection, Io, SendError};
use crate::ending::CloseCause;
use crate::hub::run::{CompressedForms, Published, append_with_window};
use crate::hub::{ChannelIndex, Delivery, Member, Membership};

/// Deliveries of one turn, so that the other sockets are looked at every few milliseconds; a long run counts as several.
pub(super) const DELIVERY_UNITS_A_TURN: usize = 512;
/// Writing so many bytes more takes about as long as another write.
const BYTES_A_DELIVERY_UNIT: usize = 4096;

impl Worker {
    /// Sends out what was published since the last time, as far as this turn's share of deliveries goes.
    pub(super) fn deliver_published(&mut self) {
        if self.is_congested() {
            self.drive_lanes();
        }
        if self.published.is_empty() {
            return;
        }
        let mut published = std::mem::take(&mut self.published);
        published.join_runs();
        if self.lanes.len() > 1 {
            self.post_parcels(&published);
        }
        for run in published.runs() {
            self.deliver(run.channel, &published.frames()[run.bytes.clone()], run.messages);
        }
        published.clear(SCRATCH_KEPT_BYTES);
        // Nothing publishes while publications are delivered, so what was taken is what is put back.
        self.published = published;
    }

    /// Delivers what another worker's clients published.
    pub(super) fn deliver_parcel(&mut self, parcel: &Parcel) {
        for run in &parcel.runs {
            // The last member may have left while the parcel was on its way.
            if let Some(channel) = self.hub.find(&run.channel.name) {
                self.deliver(channel, &parcel.frames[run.bytes.clone()], run.messages);
            }
        }
    }

    /// Goes on with what earlier turns could not finish: a part of a channel, then a part of the next one.
    pub(super) fn continue_deliveries(&mut self) {
        self.delivery_units = DELIVERY_UNITS_A_TURN;
        while self.delivery_units > 0
            && let Some((channel, mut delivery)) = self.hub.take_busy()
        {
            let ending = self.send_part(
                channel,
                &delivery.frames,
                delivery.messages,
                &mut delivery.next,
                delivery.end,
                &mut delivery.forms,
            );
            self.hub.put_back(channel, delivery);
            self.end_all(ending);
        }
    }

    /// Sends whole frames to every member of a channel, or begins to: behind a backlog, or beyond this turn's share,
    /// they become a part of it.
    fn deliver(&mut self, channel: ChannelIndex, frames: &[u8], messages: u32) {
        let Some(entry) = self.hub.channel(channel) else { return };
        let end = u32::try_from(entry.members().len()).expect("members are connections, which a u32 counts");
        let mut next = 0;
        let mut forms = std::mem::take(&mut self.forms);
        let mut ending = Vec::new();
        if entry.backlog_runs() == 0 {
            ending = self.send_part(channel, frames, messages, &mut next, end, &mut forms);
        }
        if next < end {
            let forms = std::mem::take(&mut forms);
            self.hub.keep(channel, Delivery { frames: frames.to_vec(), messages, next, end, forms });
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
        frames: &[u8],
        messages: u32,
        next: &mut u32,
        end: u32,
        forms: &mut CompressedForms,
    ) -> Vec<(u32, CloseCause)> {
        let Some(channel) = self.hub.channel(channel) else { return Vec::new() };
        let units = 1 + frames.len() / BYTES_A_DELIVERY_UNIT;
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
                None => connection.send(&io, slot, frames),
                Some(deflate) => match deflate.shares() {
                    Some(bits) => {
                        let form = forms.form(frames, bits, threshold, &mut self.deflater);
                        connection.send(&io, slot, form)
                    }
                    None => {
                        self.windowed.clear();
                        append_with_window(frames, deflate, &mut self.deflater, &mut self.windowed);
                        connection.send(&io, slot, &self.windowed)
                    }
                },
            };
            match sent {
                Ok(()) if !connection.has_unsent() => {}
                Ok(()) if connection.outbox.len() <= outbox_bytes_max => {
                    connection.schedule(&mut self.wheel, slot, stalled_at);
                }
                Ok(()) => ending.push((member, CloseCause::SlowConsumer)),
                Err(SendError::Socket) => ending.push((member, CloseCause::ConnectionLost)),
                Err(SendError::PoolExhausted) => ending.push((member, CloseCause::SlowConsumer)),
            }
        }
        let deliveries = members.len() as u64;
        self.stats.messages_out.add(deliveries * u64::from(messages));
        self.stats.message_bytes_out.add(deliveries * frames.len() as u64);
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
        for run in published.runs() {
            let Some(channel) = self.hub.channel(run.channel) else { continue };
            for worker in channel.entry.other_workers(self.index) {
                runs[worker].push(ParcelRun {
                    channel: Arc::clone(&channel.entry),
                    bytes: run.bytes.clone(),
                    messages: run.messages,
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
