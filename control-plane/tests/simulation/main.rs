//! A cluster of simulated gateways under the real plan: random loads, drains, deaths, deadlines and elections.
//!
//! Real are the index and the plan; gateways follow the rules of their drain machine in whole seconds (`node`), clients
//! come back after a while on some ready node, and the control plane loses sight of nodes, or its leader (`world`).
//! Checked in each second:
//!
//! - nodes together send away at most a tenth more than the budget, unless a deadline leaves them no choice;
//! - at most a tenth more sessions are away than may be, those aside whose node had to end or had a deadline;
//! - nobody is sent away in a hurry without a deadline;
//! - a rollout that steers, and a rebalance, move no client twice;
//! - no order is refused as stale.
//!
//! And in the end, after a quiet time: each operation is over, or names what it waits for.
//!
//! A seed decides everything. One that fails is printed; `SIMULATION_SEED=17 cargo test -p tidegate-control-plane --test
//! simulation -- --nocapture` runs it alone and tells what happened. `PLAN_SEEDS=1000` runs so many.

mod node;
mod random;
mod world;

use std::collections::BTreeMap;
use std::env;

use world::World;

/// Seeds that run where nothing else is asked for: about 100,000 node-seconds.
const SEEDS: u64 = 40;
const SECONDS: u64 = 300;
const CALM_SECONDS: u64 = 400;

#[test]
fn the_budget_holds_and_every_operation_ends_or_says_why_not() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let world = run(seed, true).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        println!("{:#?}", world.figures);
        return;
    }
    let (mut node_seconds, mut moved, mut burst, mut elections, mut full) = (0, 0, 0, 0, 0);
    let (mut highest, mut endings) = (0.0_f64, BTreeMap::new());
    for seed in 0..number("PLAN_SEEDS").unwrap_or(SEEDS) {
        let world = run(seed, false).unwrap_or_else(|error| panic!("SIMULATION_SEED={seed}: {error}"));
        node_seconds += world.figures.node_seconds;
        moved += world.figures.moved;
        burst += world.figures.burst;
        elections += world.figures.elections;
        full += world.figures.seconds_full;
        highest = highest.max(world.figures.highest_use);
        for operation in world.finished.iter().chain(world.operations.values()) {
            *endings.entry(operation.state.name()).or_insert(0_u64) += 1;
        }
    }
    println!(
        "{node_seconds} node-seconds, {elections} elections, {moved} clients moved, {burst} of them in a hurry; at most \
         {highest:.2} of the budget in a second, {full} seconds above nine tenths of it; operations: {endings:?}"
    );
    assert!(node_seconds >= 10_000, "{node_seconds} node-seconds are too few");
    assert!(full > 0, "the budget was never in use");
    for state in ["Succeeded", "Aborted"] {
        assert!(endings.contains_key(state), "no operation {state}: {endings:?}");
    }
}

fn run(seed: u64, is_loud: bool) -> Result<World, String> {
    let mut world = World::new(seed);
    world.is_loud = is_loud;
    for _ in 0..SECONDS {
        world.second(false)?;
    }
    for _ in 0..CALM_SECONDS {
        world.second(true)?;
    }
    world.check_end()?;
    Ok(world)
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} has to be a number, not {text}")))
}
