//! The session against a reference model: one client, one node and a history in virtual time, with faults at random.
//!
//! The client is naive: it knows the rules of the dialect and nothing of how a session keeps them. After each object it
//! receives, and at the end, it is checked that
//!
//! - every message of a channel with history is the next one behind the position that the client was told, unless a `gap`
//!   or `recovered: false` said otherwise, and in the end the client has the newest one;
//! - every command with an `id` gets one reply, and no message comes before the reply that asked for it;
//! - a connection that the session ends has one `closing`, which is the last object, and one close.
//!
//! A seed decides everything. One that fails is printed; `SIMULATION_SEED=17 cargo test -p tidegate-session --test model`
//! runs it alone, and prints what happened.

mod client;
mod history;
mod node;
mod random;
mod summary;
mod world;

use summary::Summary;
use world::{Mutation, World};

const SEEDS: u64 = 250;

#[test]
fn no_message_is_lost_duplicated_or_reordered_whatever_happens() {
    if let Some(seed) = seed_of_the_environment() {
        let mut world = World::new(seed, Mutation::None).telling();
        let result = world.run();
        for line in world.told() {
            println!("{line}");
        }
        println!("seed {seed}: {result:?}");
        assert!(result.is_ok(), "seed {seed}");
        return;
    }

    let mut total = Summary::default();
    for seed in 0..SEEDS {
        match World::new(seed, Mutation::None).run() {
            Ok(summary) => total.add(&summary),
            Err(violation) => panic!("SIMULATION_SEED={seed} replays it: {violation}"),
        }
    }
    println!("{SEEDS} seeds: {total:?}");
    // What did not happen was not tested.
    total.assert_everything_happened();
}

/// The model finds a driver that does what a broken session would.
#[test]
fn the_model_notices_what_it_is_there_to_notice() {
    for mutation in Mutation::BROKEN {
        let caught = (0..SEEDS).filter(|seed| World::new(*seed, mutation).run().is_err()).count();
        println!("{mutation:?}: noticed by {caught} of {SEEDS} seeds");
        assert!(caught > 0, "{mutation:?} passes unnoticed");
    }
}

#[test]
fn a_seed_replays_the_same_run() {
    let summary = || World::new(7, Mutation::None).run().map(|summary| format!("{summary:?}"));

    assert_eq!(summary(), summary());
}

fn seed_of_the_environment() -> Option<u64> {
    let seed = std::env::var("SIMULATION_SEED").ok()?;
    Some(seed.parse().expect("SIMULATION_SEED is a whole number"))
}
