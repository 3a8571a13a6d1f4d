//! `verify`: a hub that does everything right passes, also over broken connections, and each flaw is found by its name.

use serde_json::Value;

use crate::hub::{Flaw, Keeps, serve_hub};
use crate::program::{Outcome, run, run_on, run_words_with};

const STEADY: &str = "verify --publishers 2 --subscribers 6 --channels 4 --subscriptions 2 --rate 400 --count 200 --settle 200ms";
/// One publisher, because the order between publishers is nobody's promise.
const FEW: &str = "verify --publishers 1 --subscribers 4 --channels 4 --subscriptions 2 --rate 400 --count 60 --settle 200ms";
const CUTS: &str = "--drop-every 10ms --away 60ms --seed 7";

#[test]
fn every_message_comes_once_and_in_order_where_nothing_breaks() {
    for keeps in [Keeps::All, Keeps::Nothing] {
        let outcome = run_on(serve_hub(keeps, Flaw::None), "/ws", STEADY);
        assert_passed(&outcome);
        let counts = &outcome.report["counts"];
        assert_eq!(counts["sent"], 200, "{counts}");
        assert_eq!(counts["acknowledged"], 200);
        // Six subscribers with two of four channels: each channel has three.
        assert_eq!(counts["delivered"], 600);
        let words = "200 messages sent, 200 acknowledged, 600 delivered: 0 lost, 0 duplicated, 0 reordered.";
        assert!(outcome.report["conclusion"].as_str().unwrap().starts_with(words), "{outcome:?}");
    }
}

#[test]
fn sessions_that_are_cut_come_back_and_miss_nothing_of_a_history() {
    let outcome = run_on(serve_hub(Keeps::All, Flaw::None), "/ws", &format!("{STEADY} {CUTS}"));
    assert_passed(&outcome);
    let counts = &outcome.report["counts"];
    assert_eq!(counts["acknowledged"], counts["sent"]);
    assert_eq!(counts["delivered"], 600, "{counts}");
    assert!(counts["cut"].as_u64().unwrap() > 10, "{counts}");
    assert_eq!(counts["resumed"], counts["cut"], "{counts}");
    assert!(counts["replayed"].as_u64().unwrap() > 0, "{counts}");
    let resume = latency(&outcome, "time to resume");
    assert_eq!(resume["count"], counts["resumed"]);
    assert!(resume["p99_us"].as_f64().unwrap() >= resume["p50_us"].as_f64().unwrap());
    assert!(outcome.report["conclusion"].as_str().unwrap().contains("Seed 7."));
}

#[test]
fn what_is_published_while_away_may_be_missing_where_nothing_is_kept() {
    let outcome = run_on(serve_hub(Keeps::Nothing, Flaw::None), "/ws", &format!("{STEADY} {CUTS}"));
    assert_passed(&outcome);
    let counts = &outcome.report["counts"];
    let missed = counts["missed while away"].as_u64().unwrap();
    assert!(missed > 0, "{counts}");
    assert_eq!(counts["delivered"].as_u64().unwrap() + missed, 600, "{counts}");
}

#[test]
fn stalled_readers_get_everything_in_the_end() {
    let line = format!("{STEADY} --stall 100ms --stall-every 50ms");
    let outcome = run_on(serve_hub(Keeps::All, Flaw::None), "/ws", &line);
    assert_passed(&outcome);
    let counts = &outcome.report["counts"];
    assert!(counts["stalled"].as_u64().unwrap() > 0, "{counts}");
    assert_eq!(counts["delivered"], 600, "{counts}");
}

#[test]
fn flaws_of_delivery_are_found_by_name_with_and_without_history() {
    for keeps in [Keeps::All, Keeps::Nothing] {
        for (flaw, name, words) in [
            (Flaw::DropsOne, "lost", "are lost, from number"),
            (Flaw::Duplicates, "duplicated", "is duplicated"),
            (Flaw::Reorders, "reordered", "is reordered"),
            (Flaw::Damages, "damaged", "is damaged, wrong content from byte"),
            (Flaw::Refuses, "refused", "was refused, forbidden: not you"),
        ] {
            let outcome = run_on(serve_hub(keeps, flaw), "/ws", FEW);
            assert_found(&outcome, flaw, name, words);
            assert_eq!(outcome.report["counts"][name], 1, "{keeps:?}, {flaw:?}: {outcome:?}");
            let silently = u64::from(flaw == Flaw::DropsOne);
            assert_eq!(
                outcome.report["counts"]["lost silently"], silently,
                "{keeps:?}, {flaw:?}: {outcome:?}"
            );
        }
    }
}

#[test]
fn flaws_of_coming_back_are_found_by_name() {
    for (flaw, name, words) in [
        (Flaw::ReplaysInPart, "falsely recovered", "recovered: true, but 1 messages after offset"),
        (Flaw::ClaimsRecovered, "falsely recovered", "are not replayed"),
        (Flaw::LosesHistory, "lost, as told", "are lost, and the server says so"),
        (Flaw::ReplaysAllTheSame, "falsely recovered", "is replayed after recovered: false"),
        (Flaw::ForgetsSessions, "not resumed", "its session was not resumed"),
    ] {
        let outcome = run_on(serve_hub(Keeps::All, flaw), "/ws", &format!("{STEADY} {CUTS}"));
        assert_found(&outcome, flaw, name, words);
    }
}

#[test]
fn a_key_that_the_server_forgets_makes_duplicates() {
    // Cut in the middle of many unanswered publishes: some have arrived and are sent again.
    let line = "verify --publishers 1 --subscribers 1 --channels 1 --subscriptions 1 --rate 20000 --duration 1s \
        --drop-every 5ms --away 1ms --seed 3";
    let outcome = run_on(serve_hub(Keeps::All, Flaw::None), "/ws", line);
    assert_passed(&outcome);
    assert!(outcome.report["counts"]["recognised by key"].as_u64().unwrap() > 0, "{outcome:?}");

    let outcome = run_on(serve_hub(Keeps::All, Flaw::ForgetsKeys), "/ws", line);
    assert_found(&outcome, Flaw::ForgetsKeys, "duplicated", "is duplicated");
}

#[test]
fn a_storm_of_resumes_is_timed_until_all_have_what_they_missed() {
    let line = "verify --resume-storm 50 --channels 4 --missed 5 --rate 2000 --at-a-time 20 --settle 200ms";
    let outcome = run_on(serve_hub(Keeps::All, Flaw::None), "/ws", line);
    assert_passed(&outcome);
    let report = &outcome.report;
    assert_eq!(report["counts"]["caught up"], 50, "{report}");
    assert_eq!(report["counts"]["resumed"], 50);
    assert_eq!(report["counts"]["replayed"], 250);
    assert_eq!(latency(&outcome, "time to catch up")["count"], 50);
    assert!(report["derived"]["seconds_until_all_recovered"].as_f64().unwrap() > 0.0);

    for (flaw, name) in [
        (Flaw::ReplaysInPart, "falsely recovered"),
        (Flaw::ForgetsSessions, "not resumed"),
        (Flaw::LosesHistory, "lost, as told"),
    ] {
        let outcome = run_on(serve_hub(Keeps::All, flaw), "/ws", line);
        assert_found(&outcome, flaw, name, "");
    }
}

#[test]
fn the_verdict_is_in_words_too() {
    let hub = serve_hub(Keeps::All, Flaw::Duplicates);
    let outcome = run(&format!("{STEADY} --url ws://{hub}/ws --quiet"));
    assert_eq!(outcome.code, 1);
    for words in ["1 duplicated", "is duplicated", "1 came silently", "FAILED, 2 faults"] {
        assert!(outcome.stdout.contains(words), "{words} in {}", outcome.stdout);
    }
}

#[test]
fn a_file_ends_the_sending_before_its_time() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let line =
        format!("verify --subscribers 2 --duration 1h --settle 1ms --stop-file {}", file.path().display());
    let outcome = run_on(serve_hub(Keeps::All, Flaw::None), "/ws", &line);
    assert_passed(&outcome);
    assert!(outcome.report["measured_seconds"].as_f64().unwrap() < 60.0, "{outcome:?}");
}

#[test]
fn nothing_is_written_where_no_server_is_started() {
    let hub = serve_hub(Keeps::All, Flaw::None);
    let line = format!("verify --url ws://{hub}/ws --json --quiet --subscribers 2 --count 10");
    let nowhere = [("TMPDIR", "/proc/no-such-folder")];
    assert_passed(&run_words_with(&line.split(' ').collect::<Vec<_>>(), nowhere));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let hub = serve_hub(Keeps::All, Flaw::None);
    for (line, words) in [
        ("verify --size 8", "--size must be at least 16"),
        ("verify --channels 2 --subscriptions 3", "cannot be more than --channels"),
        ("verify --resume-storm 5 --drop-every 1s", "cannot be used with"),
        ("verify --fault kill@1s", "`ACTION:NAME@TIME`"),
        ("verify --fault kill:node-1@1s", "only processes of --spawn"),
        ("verify --spawn gateways=1", "cannot be used with"),
        ("verify --allow lots=1", "nothing is called `lots`"),
    ] {
        let outcome = run_on(hub, "/ws", line);
        assert_eq!(outcome.code, 64, "{line}");
        assert!(outcome.stderr.contains(words), "{line}: {}", outcome.stderr);
    }
}

fn assert_passed(outcome: &Outcome) {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.report["verdict"], "passed", "{outcome:?}");
}

fn assert_found(outcome: &Outcome, flaw: Flaw, name: &str, words: &str) {
    assert_eq!(outcome.code, 1, "{flaw:?}: {outcome:?}");
    assert!(outcome.report["counts"][name].as_u64().unwrap() > 0, "{flaw:?}: {outcome:?}");
    assert!(outcome.report["faults"]["first"].to_string().contains(words), "{flaw:?}: {outcome:?}");
}

fn latency<'o>(outcome: &'o Outcome, name: &str) -> &'o Value {
    let latencies = outcome.report["latencies"].as_array().unwrap();
    latencies.iter().find(|latency| latency["name"] == name).unwrap()
}
