//! Which connection each session of this node has.
//!
//! Touched when a session begins, ends or is spoken to from outside its connection, never for a publication.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::Token;
use tidegate_cluster::Fence;
use tidegate_protocol::id::SessionId;

/// The sessions of this node that have a connection.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    seats: Mutex<HashMap<SessionId, Seat>>,
}

/// Where a session's connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Seat {
    pub(crate) worker: u16,
    /// The connection's token on that worker.
    pub(crate) token: Token,
    /// Under which the connection owns its session.
    pub(crate) fence: Fence,
}

impl Roster {
    /// Notes a session's connection, unless a newer one has been noted: they may come in any order. The result is the
    /// connection that is not the session's any more, and the fence of the one that is.
    pub(crate) fn seat(&self, session: SessionId, seat: Seat) -> Option<(Seat, Fence)> {
        let mut seats = self.lock();
        match seats.get_mut(&session) {
            Some(newer) if newer.fence > seat.fence => Some((seat, newer.fence)),
            Some(older) => Some((std::mem::replace(older, seat), seat.fence)),
            None => {
                seats.insert(session, seat);
                None
            }
        }
    }

    /// Forgets a session's connection, unless a newer one has it.
    pub(crate) fn leave(&self, session: SessionId, fence: Fence) {
        let mut seats = self.lock();
        if seats.get(&session).is_some_and(|seat| seat.fence <= fence) {
            seats.remove(&session);
        }
    }

    pub(crate) fn find(&self, session: SessionId) -> Option<Seat> {
        self.lock().get(&session).copied()
    }

    /// All sessions with a connection here, as their store knows them.
    pub(crate) fn held(&self) -> Vec<(SessionId, Fence)> {
        self.lock().iter().map(|(session, seat)| (*session, seat.fence)).collect()
    }

    /// Sessions with a connection here.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Each operation leaves the map consistent, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(token: usize, fence: u64) -> Seat {
        Seat { worker: 0, token: Token(token), fence: Fence::new(fence) }
    }

    #[test]
    fn the_connection_that_lost_its_session_does_not_unseat_the_one_that_took_it() {
        let (roster, session) = (Roster::default(), SessionId::from_bytes([7; 16]));
        assert_eq!(roster.seat(session, seat(1, 1)), None);
        assert_eq!(roster.seat(session, seat(2, 2)), Some((seat(1, 1), Fence::new(2))));
        roster.leave(session, Fence::new(1));
        assert_eq!(roster.find(session), Some(seat(2, 2)));
        roster.leave(session, Fence::new(2));
        assert_eq!(roster.len(), 0);
    }

    #[test]
    fn of_two_that_took_a_session_at_the_same_time_the_later_one_has_it_whichever_is_noted_first() {
        let (roster, session) = (Roster::default(), SessionId::from_bytes([7; 16]));
        assert_eq!(roster.seat(session, seat(2, 2)), None);
        assert_eq!(roster.seat(session, seat(1, 1)), Some((seat(1, 1), Fence::new(2))));
        assert_eq!(roster.find(session), Some(seat(2, 2)));
    }
}
