//! What the tests of the memory implementations share.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tidegate_protocol::channel::Channel;
use tidegate_protocol::id::{NodeName, SessionId};
use tidegate_protocol::time::Millis;

use crate::answer::{Answer, Unavailable};
use crate::clock::ManualClock;

/// The answer, which has to be ready.
pub(super) fn asked<T>(answer: Answer<T>) -> Result<T, Unavailable> {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("memory answers at once"),
    }
}

/// The value of the answer, which has to be ready.
pub(super) fn got<T>(answer: Answer<T>) -> T {
    asked(answer).expect("nothing here is at its bound")
}

pub(super) fn manual_clock() -> ManualClock {
    ManualClock::new(Millis::new(1_000_000))
}

pub(super) fn channel(name: &str) -> Channel<'_> {
    Channel::parse(name).unwrap()
}

pub(super) fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

/// Ids in the order of their numbers.
pub(super) fn session(number: u16) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(bytes)
}
