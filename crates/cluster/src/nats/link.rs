//! Brings the server to what the interest table says, and finds out whether the connection carries.
//!
//! One task goes round: it subscribes what was asked for, sends a mark, and waits for it to come back on this connection.
//! Then those who asked are answered, and the bus is up. After a reconnect async-nats has subscribed everything again
//! before it sends anything else, so the mark that comes back proves that too; only then is the receiver told that
//! messages are missing, and finds nothing missing that came after it looked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::Subject;
use async_nats::connection::State as Connection;
use tidegate_protocol::id::NodeName;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::answer::Unavailable;
use crate::bus::Loss;
use crate::state::State;

use super::interest::Asked;
use super::tap::{Destination, Tap};
use super::{DOWN, Shared, TIMED_OUT};

/// Most channels subscribed with one mark: a round has to fit into its deadline.
const ROUND_CHANNELS_MAX: usize = 4096;
/// Marks that a connection may owe before it is given up.
const MARKS_MISSED_MAX: u32 = 2;

/// Ends with the bus.
pub(super) async fn run(shared: Arc<Shared>, client: Client, node: NodeName) {
    let marks = shared.sink.marks();
    let inbox = client.new_inbox().into();
    let mut link = Link { shared, client, marks, inbox, own: Vec::new(), connects: 0, missed: 0 };
    link.open_own(&node).await;
    loop {
        link.shared.interest.leave_due(Instant::now());
        link.round().await;
        if link.shared.is_reachable() && link.shared.interest.has_asked() {
            continue;
        }
        select! {
            () = link.shared.asked.notified() => {}
            () = link.shared.changed.notified() => {}
            () = sleep(link.shared.config.probe_interval) => {}
        }
    }
}

struct Link {
    shared: Arc<Shared>,
    client: Client,
    /// The newest mark that came back.
    marks: watch::Receiver<u64>,
    /// Where marks go.
    inbox: Subject,
    /// Subjects of the node itself.
    own: Vec<Arc<Tap>>,
    /// Connections made until the bus last came up.
    connects: u64,
    /// Marks in a row that did not come back in time.
    missed: u32,
}

/// A mark that came back.
struct Mark {
    took: Duration,
    /// Connections made until then.
    connects: u64,
}

/// The connection was lost.
struct Lost;

impl Link {
    /// Waits for the first connection if async-nats has no room for three commands, which it has.
    async fn open_own(&mut self, node: &NodeName) {
        let prefix = &self.shared.config.prefix;
        for (subject, destination) in [
            (self.inbox.clone(), Destination::Marks),
            (prefix.node(node), Destination::Node),
            (prefix.all(), Destination::Node),
        ] {
            // Without a client behind it nothing comes up, and nobody waits for it to.
            self.own.extend(Tap::open(&self.client, subject, destination, &self.shared.sink).await);
        }
    }

    async fn round(&mut self) {
        if self.client.connection_state() != Connection::Connected {
            return self.go_down(&[], DOWN);
        }
        let asked = self.shared.interest.take_asked(ROUND_CHANNELS_MAX);
        match timeout(self.shared.config.timeout, self.settle(&asked)).await {
            Ok(Ok(mark)) => self.come_up(&asked, &mark),
            Ok(Err(Lost)) => self.go_down(&asked, DOWN),
            Err(_) => {
                self.go_down(&asked, TIMED_OUT);
                self.give_up_connection().await;
            }
        }
    }

    /// Has the server know of these and of all before them.
    async fn settle(&mut self, asked: &[Asked]) -> Result<Mark, Lost> {
        let shared = &self.shared;
        for Asked { channel, .. } in asked.iter().filter(|asked| !asked.has_subject) {
            let subject = shared.config.prefix.channel(channel.as_str());
            let destination = Destination::Channel(channel.clone());
            let tap = Tap::open(&self.client, subject, destination, &shared.sink).await.map_err(|_| Lost)?;
            shared.interest.keep(channel, tap);
        }
        loop {
            let connects = self.connects_so_far();
            let sent_at = Instant::now();
            let number = 1 + self.shared.marked.fetch_add(1, Ordering::AcqRel);
            let bytes = number.to_be_bytes().to_vec().into();
            self.client.publish(self.inbox.clone(), bytes).await.map_err(|_| Lost)?;
            self.shared.handed.fetch_add(1, Ordering::Relaxed);
            let is_back = self.wait_for(number, connects).await?;
            // A mark that crossed a reconnect says nothing about either connection.
            if is_back && self.connects_so_far() == connects {
                return Ok(Mark { took: sent_at.elapsed(), connects });
            }
        }
    }

    /// Says whether the mark came back; if not, another connection has been made.
    async fn wait_for(&mut self, number: u64, connects: u64) -> Result<bool, Lost> {
        loop {
            select! {
                back = self.marks.wait_for(|newest| *newest >= number) => {
                    return back.map(|_| true).map_err(|_| Lost);
                }
                () = self.shared.changed.notified() => {}
            }
            if self.client.connection_state() != Connection::Connected {
                return Err(Lost);
            }
            if self.connects_so_far() != connects {
                return Ok(false);
            }
        }
    }

    fn come_up(&mut self, asked: &[Asked], mark: &Mark) {
        let shared = &self.shared;
        self.missed = 0;
        shared.counts.marks.add(1);
        shared.counts.marks_time_us.add(u64::try_from(mark.took.as_micros()).unwrap_or(u64::MAX));
        shared.message_bytes_max.store(self.client.max_payload(), Ordering::Relaxed);
        let before = std::mem::replace(&mut self.connects, mark.connects);
        if before != 0 && before != mark.connects {
            shared.counts.reconnects.add(mark.connects - before);
            shared.sink.lose(Loss::Unknown);
        }
        let state = if mark.took > shared.config.slow_after { State::Slow } else { State::Up };
        shared.state.send_if_modified(|known| std::mem::replace(known, state) != state);
        shared.interest.confirm(asked);
    }

    fn go_down(&self, asked: &[Asked], why: Unavailable) {
        let shared = &self.shared;
        let now = Instant::now();
        shared.state.send_if_modified(|state| {
            let is_news = state.is_reachable();
            if is_news {
                *state = State::Down { since: now };
            }
            is_news
        });
        shared.interest.refuse(asked, why, now);
    }

    async fn give_up_connection(&mut self) {
        self.shared.counts.marks_missed.add(1);
        self.missed += 1;
        if self.missed >= MARKS_MISSED_MAX {
            self.missed = 0;
            // async-nats may be stuck in writing; then its own pings end the connection.
            let _ = timeout(self.shared.config.timeout, self.client.force_reconnect()).await;
        }
    }

    fn connects_so_far(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }
}
