//! `burst`: whoever reads gets everything in order, whoever does not is told apart, and what is missing is found.

use crate::hub::{Flaw, Keeps, serve_hub};
use crate::program::run_on;

const BURST: &str = "burst --subscribers 6 --not-reading 2 --count 200 --depth 16 --patience 500ms";

#[test]
fn whoever_reads_gets_everything_in_order() {
    let outcome = run_on(serve_hub(Keeps::All, Flaw::None), "/ws", BURST);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let report = &outcome.report;
    assert_eq!(report["counts"]["readers that got all"], 4, "{report}");
    assert_eq!(report["counts"]["delivered to readers"], 800, "{report}");
    assert!(report["conclusion"].as_str().unwrap().starts_with("4 of 4 readers got all of 200"), "{report}");
}

#[test]
fn the_servers_memory_is_told_before_at_most_and_after() {
    let line = format!("{BURST} --pid {}", std::process::id());
    let outcome = run_on(serve_hub(Keeps::Nothing, Flaw::None), "/ws", &line);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let mebibytes = |name: &str| outcome.report["derived"][name].as_f64().unwrap();
    let (before, peak) = (mebibytes("memory before, MiB"), mebibytes("memory at its peak, MiB"));
    assert!(before > 0.0 && peak >= mebibytes("memory after, MiB"), "{}", outcome.report);
}

#[test]
fn what_a_reader_misses_or_gets_twice_is_found() {
    for (flaw, words) in [
        (Flaw::DropsOne, "came after a gap"),
        (Flaw::Duplicates, "came twice or out of order"),
        (Flaw::Reorders, "came after a gap"),
        (Flaw::Damages, "wrong content from byte"),
    ] {
        // Nobody notices what those miss who do not read.
        let line = BURST.replace("--not-reading 2", "--not-reading 0");
        let outcome = run_on(serve_hub(Keeps::All, flaw), "/ws", &line);
        assert_eq!(outcome.code, 1, "{flaw:?}: {outcome:?}");
        assert!(outcome.report["faults"]["first"].to_string().contains(words), "{flaw:?}: {outcome:?}");
    }
}

#[test]
fn somebody_must_read() {
    let outcome = run_on(serve_hub(Keeps::All, Flaw::None), "/ws", "burst --subscribers 5 --not-reading 5");
    assert_eq!(outcome.code, 64);
    assert!(outcome.stderr.contains("--not-reading must leave"), "{}", outcome.stderr);
}
