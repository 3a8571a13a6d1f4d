//! An answer that is either there or on its way.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A future that borrows nothing, so that it may outlive the turn that began it.
pub(crate) type Later<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What came of beginning something.
#[must_use]
pub(crate) enum Outcome<T> {
    /// It is done.
    Now(T),
    /// It waits for something outside.
    Later(Later<T>),
}

impl<T: 'static> Outcome<T> {
    /// Begins the work on this thread. Whoever gets [`Outcome::Later`] polls it from a runtime, which registers a waker of
    /// its own: nothing is lost, since each poll says anew what is waited for.
    pub(crate) fn begin(future: impl Future<Output = T> + Send + 'static) -> Self {
        let mut future: Later<T> = Box::pin(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Self::Now(value),
            Poll::Pending => Self::Later(future),
        }
    }

    pub(crate) fn map<U: 'static>(self, change: impl FnOnce(T) -> U + Send + 'static) -> Outcome<U> {
        match self {
            Self::Now(value) => Outcome::Now(change(value)),
            Self::Later(future) => Outcome::Later(Box::pin(async move { change(future.await) })),
        }
    }

    /// As if it had to be waited for.
    pub(crate) fn into_later(self) -> Later<T>
    where
        T: Send,
    {
        match self {
            Self::Now(value) => Box::pin(std::future::ready(value)),
            Self::Later(future) => future,
        }
    }

    /// Goes on with what came of it.
    pub(crate) fn then<U, F>(self, next: impl FnOnce(T) -> F + Send + 'static) -> Outcome<U>
    where
        U: 'static,
        F: Future<Output = U> + Send + 'static,
    {
        match self {
            Self::Now(value) => Outcome::begin(next(value)),
            Self::Later(future) => Outcome::Later(Box::pin(async move { next(future.await).await })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_needs_no_waiting_is_done_at_once_and_the_rest_goes_on_elsewhere() {
        let now = Outcome::begin(async { 1 }).map(|value| value + 1);
        assert!(matches!(now, Outcome::Now(2)));

        let (answer, wanted) = tokio::sync::oneshot::channel();
        let Outcome::Later(later) = Outcome::begin(wanted).map(|value| value.is_ok()) else {
            panic!("nobody has answered yet")
        };
        let waiting = tokio::spawn(later);
        tokio::task::yield_now().await;
        answer.send(()).unwrap();
        assert!(waiting.await.unwrap());
    }
}
