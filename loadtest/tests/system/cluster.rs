//! `verify` against several servers and against a stage of its own: clients come back as the rules say, faults happen when they
//! are due, and the verdict tells losses that were told from silent ones.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::hub::{Flaw, Keeps, serve_hub};
use crate::program::{BINARY, Outcome, run};

const STEADY: &str = "verify --quiet --json --publishers 2 --subscribers 6 --channels 4 --subscriptions 2 --rate 400 \
    --duration 500ms --settle 200ms --seed 7";
/// Long enough for a fault and its end, and slow enough for a machine that is busy with other tests.
const STAGED: &str = "verify --quiet --json --spawn gateways=1 --publishers 2 --subscribers 12 --channels 4 --subscriptions 2 \
    --rate 50 --settle 500ms --timeline --seed 7 --path /ws";

/// The gateway's binary: Cargo builds another package's only if somebody asks.
static GATEWAY: LazyLock<PathBuf> = LazyLock::new(|| {
    let built =
        Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "tidegate-gateway"]).status();
    assert!(built.unwrap().success(), "the gateway cannot be built");
    PathBuf::from(BINARY).with_file_name("tidegate-gateway")
});

#[test]
fn clients_are_spread_over_all_targets_and_any_of_them_will_do_after_a_cut() {
    let hub = serve_hub(Keeps::All, Flaw::None);
    let line =
        format!("{STEADY} --url ws://{hub}/ws,ws://{hub}/other --drop-every 20ms --away 30ms --timeline");
    let outcome = run(&line);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let report = &outcome.report;
    assert_eq!(report["url"], format!("ws://{hub}/ws, ws://{hub}/other"));
    assert_eq!(count(&outcome, "resumed"), count(&outcome, "cut"));
    let retries: u64 = seconds(&outcome).iter().map(|second| second["retries"].as_u64().unwrap()).sum();
    assert_eq!(retries, count(&outcome, "cut"), "{report}");
    assert!((1..=retries).contains(&count(&outcome, "peak retries a second")));
}

#[test]
fn whoever_the_server_ends_comes_back_and_is_counted_by_cause() {
    for (flaw, name) in [
        (Flaw::HangsUp, "unannounced closes"),
        (Flaw::Closes(1012), "closes with a code"),
        (Flaw::AsksToLeave, "announced reconnects"),
    ] {
        let hub = serve_hub(Keeps::All, flaw);
        let outcome = run(&format!("{STEADY} --url ws://{hub}/ws"));
        assert_eq!(outcome.code, 0, "{flaw:?}: {outcome:?}");
        for cause in ["unannounced closes", "closes with a code", "announced reconnects", "refused connects"]
        {
            assert_eq!(count(&outcome, cause), u64::from(cause == name), "{flaw:?}, {cause}: {outcome:?}");
        }
        assert_eq!(count(&outcome, "resumed"), 1, "{flaw:?}: {outcome:?}");
        assert_eq!(count(&outcome, "delivered"), 600, "{flaw:?}: {outcome:?}");

        let bound = name.replace(' ', "-");
        let hub = serve_hub(Keeps::All, flaw);
        let outcome = run(&format!("{STEADY} --url ws://{hub}/ws --allow {bound}=0"));
        assert_eq!(outcome.code, 1, "{flaw:?}: {outcome:?}");
        let words = "1, and no more than 0 may be";
        assert!(outcome.report["faults"]["first"].to_string().contains(words), "{flaw:?}: {outcome:?}");
    }
}

#[test]
fn whoever_is_told_to_stay_away_does() {
    let hub = serve_hub(Keeps::All, Flaw::Closes(4500));
    let outcome = run(&format!("{STEADY} --url ws://{hub}/ws"));
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert_eq!((count(&outcome, "not resumed"), count(&outcome, "resumed")), (1, 0), "{outcome:?}");
}

#[test]
fn what_is_refused_for_now_is_sent_again() {
    let hub = serve_hub(Keeps::All, Flaw::RefusesForNow);
    let outcome = run(&format!("{STEADY} --url ws://{hub}/ws"));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!((count(&outcome, "refused for now"), count(&outcome, "refused")), (1, 0), "{outcome:?}");
    assert_eq!(count(&outcome, "acknowledged"), 200, "{outcome:?}");
}

#[test]
fn ghosts_and_people_overlooked_are_found() {
    for (flaw, name) in [(Flaw::None, ""), (Flaw::HasGhosts, "ghosts"), (Flaw::Overlooks, "absent")] {
        let hub = serve_hub(Keeps::All, flaw);
        let outcome = run(&format!("{STEADY} --url ws://{hub}/ws --presence 700ms"));
        assert_eq!(outcome.code, i32::from(flaw != Flaw::None), "{flaw:?}: {outcome:?}");
        for wrong in ["ghosts", "absent"] {
            // One on each of four channels.
            assert_eq!(count(&outcome, wrong), if wrong == name { 4 } else { 0 }, "{flaw:?}: {outcome:?}");
        }
    }
}

#[test]
fn a_gateway_with_a_memory_only_that_is_killed_loses_its_sessions_and_says_so() {
    for fault in ["kill:node-1@1s+200ms", "restart:node-1@1s"] {
        let outcome = staged(&format!(
            "--duration 4s --fault {fault} --set drain.window=200ms --set drain.lb_propagation=0s"
        ));
        assert_eq!(outcome.code, 1, "{fault}: {outcome:?}");
        let report = &outcome.report;
        assert_eq!(count(&outcome, "lost silently"), 0, "{fault}: {report}");
        assert!(count(&outcome, "not resumed") > 0, "{fault}: {report}");
        assert!(count(&outcome, "recovered false") > 0, "{fault}: {report}");
        let step = &report["schedule"][0];
        assert_eq!(step["fault"], *fault, "{report}");
        assert!(step["failure"].is_null() && step["at_seconds"].as_f64().unwrap() >= 1.0, "{step}");
        assert!(report["conclusion"].as_str().unwrap().contains("node-1"), "{report}");
        // What is left of the processes is their output.
        let log = PathBuf::from(report["logs"].as_str().unwrap()).join("node-1.2.log");
        assert!(std::fs::read_to_string(log).unwrap().contains("listening"), "{fault}");
    }
}

#[test]
fn a_link_that_is_cut_and_healed_costs_nothing_but_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stage.json");
    let outcome = staged(&format!(
        "--duration 4s --fault cut:clients-node-1@1s+500ms --presence 20s --stage-file {}",
        file.display()
    ));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let report = &outcome.report;
    let stage: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    for known in ["pid", "client", "api", "admin"] {
        assert!(!stage["node-1"][known].is_null(), "{known}: {stage}");
    }
    assert_eq!(count(&outcome, "clients that came back"), 14, "{report}");
    assert!(count(&outcome, "most returns of a client") >= 1, "{report}");
    assert_eq!(count(&outcome, "acknowledged"), count(&outcome, "sent"), "{report}");
    assert!(count(&outcome, "resumed") >= 14, "{report}");
    assert!(count(&outcome, "unannounced closes") >= 14, "{report}");
    assert!(report["schedule"][1]["caught_up_after_seconds"].as_f64().unwrap() >= 0.0, "{report}");
    assert!(report["logs"].is_null(), "nothing is wrong: {report}");
}

#[test]
fn a_frozen_gateway_is_waited_for() {
    let outcome = staged("--duration 3s --fault freeze:node-1@1s+500ms");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.report["derived"]["seconds_until_caught_up"].as_f64().is_some(), "{outcome:?}");
}

#[test]
fn what_cannot_be_done_is_a_fault_of_the_run() {
    let outcome = staged("--duration 2s --fault kill:node-1@200ms+400ms --fault kill:node-1@300ms");
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let words = "`kill:node-1@300ms` could not be done: node-1 does not run";
    assert!(outcome.report["faults"]["first"].to_string().contains(words), "{outcome:?}");
}

#[test]
fn stages_that_make_no_sense_are_refused_before_anything_is_started() {
    for (line, words) in [
        ("--spawn gateways=0", "from 1 to 32"),
        ("--spawn gateways=1 --fault kill:node-2@1s", "no process `node-2`; there is node-1"),
        ("--spawn gateways=1 --fault kill:node-1@20s", "let --duration be more than 20s"),
        ("--spawn gateways=1 --gateway /nowhere", "/nowhere"),
        ("--spawn gateways=1 --resume-storm 5", "cannot be used with"),
        ("", "--url"),
    ] {
        let outcome = run(&format!("verify {line}"));
        assert_eq!(outcome.code, if words == "/nowhere" { 2 } else { 64 }, "{line}: {outcome:?}");
        assert!(outcome.stderr.contains(words), "{line}: {}", outcome.stderr);
    }
}

fn staged(options: &str) -> Outcome {
    run(&format!("{STAGED} --gateway {} {options}", GATEWAY.display()))
}

fn count(outcome: &Outcome, name: &str) -> u64 {
    outcome.report["counts"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {outcome:?}"))
}

fn seconds(outcome: &Outcome) -> &[Value] {
    outcome.report["timeline"].as_array().unwrap()
}
