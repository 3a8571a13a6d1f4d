//! Real signals to this very process; a test binary of its own, as handlers belong to a whole process.

use rustix::process::{Signal, getpid, kill_process};
use tidegate_service::lifecycle::{Exit, Lifecycle, Phase, Signals, drain_on_signal};

#[tokio::test]
async fn the_first_signal_begins_the_drain_and_the_second_names_the_code_to_end_with() {
    let lifecycle = Lifecycle::new();
    lifecycle.advance(Phase::Serving);
    let mut signals = Signals::install().unwrap();
    let watched = tokio::spawn({
        let lifecycle = lifecycle.clone();
        async move { drain_on_signal(&lifecycle, &mut signals).await }
    });

    kill_process(getpid(), Signal::TERM).unwrap();
    lifecycle.reached(Phase::Draining).await;
    assert!(!watched.is_finished());

    kill_process(getpid(), Signal::INT).unwrap();
    assert_eq!(watched.await.unwrap(), Exit::Interrupted);
    assert_eq!(Exit::Interrupted.code(), 130);
}
