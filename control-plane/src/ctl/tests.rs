//! The command line against the API over real sockets, in front of a coordinator whose answers the tests know.

use std::fs;
use std::io::Write as _;

use clap::CommandFactory;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::*;
use crate::http::tests::{PATIENCE, Running, token_of};
use crate::model::{Complaint, Refused, Running as Stage, Source, Spec, Step, StepPhase};

/// What a command did.
struct Ran {
    ended: Result<End, Failure>,
    out: String,
    err: String,
}

impl Ran {
    /// What it wrote, if it ended well.
    #[track_caller]
    fn good(self) -> String {
        assert_eq!(self.ended.expect(&self.err), End::Good, "{}", self.out);
        self.out
    }

    #[track_caller]
    fn failure(self) -> Failure {
        self.ended.expect_err(&self.out)
    }
}

fn ctl(api: &Running, arguments: &str) -> Ran {
    ctl_until(api, arguments, std::future::pending())
}

fn ctl_until(api: &Running, arguments: &str, interrupted: impl Future<Output = ()>) -> Ran {
    let mut token = NamedTempFile::new().unwrap();
    writeln!(token, "{}", token_of("ada")).unwrap();
    let server = format!("http://{}", api.address);
    let cli = Cli::try_parse_from(
        ["ctl", "--server", &server, "--token-file", token.path().to_str().unwrap()]
            .into_iter()
            .chain(arguments.split(' ')),
    )
    .unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut terminal = Terminal { out: &mut out, err: &mut err, is_live: false, output: cli.output };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(execute(&cli, &mut terminal, interrupted));
    Ran { ended, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// An operation of one node with so many clients left of so many.
pub(super) fn operation_at(remaining: u64, total: u64) -> Operation {
    let spec = Spec::parse(&json!({ "kind": "rollout" })).unwrap();
    let id = OperationId::parse("deploy-42").unwrap();
    let mut operation = Operation::new(id, spec, Source::Api, "ada".to_owned(), crate::model::Millis::new(1));
    progress(&mut operation, remaining, total);
    operation
}

fn progress(operation: &mut Operation, remaining: u64, total: u64) {
    let mut step = Step::waiting("gw-1".into(), 1, crate::model::Millis::new(1));
    (step.total, step.remaining, step.moved) = (total, remaining, total - remaining);
    step.phase = if remaining == 0 { StepPhase::Done } else { StepPhase::Draining };
    operation.steps = vec![step];
    operation.state =
        if remaining == 0 { OperationState::Succeeded } else { OperationState::Running(Stage::Draining) };
    operation.count();
}

fn body_of(arguments: &str) -> Value {
    let cli = Cli::try_parse_from(["ctl"].into_iter().chain(arguments.split(' '))).unwrap();
    let Command::Begin(begin) = cli.command else { panic!("{arguments} begins nothing") };
    begin.body().unwrap()
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn flags_become_the_body_and_what_is_not_said_is_not_sent() {
    assert_eq!(
        body_of("drain gw-1 gw-2"),
        json!({ "kind": "drain", "targets": { "pods": ["gw-1", "gw-2"] } })
    );
    assert_eq!(body_of("rollout"), json!({ "kind": "rollout" }));
    assert_eq!(
        body_of(
            "rollout --mode steer --zone a --max-rate 200 --max-parallel 25% --deadline 30m --set guards.resumeP99=2s --set minServing=0"
        ),
        json!({
            "kind": "rollout", "mode": "steer", "targets": { "zone": "a" }, "maxRate": 200.0, "maxParallel": "25%",
            "deadline": "30m", "guards": { "resumeP99": "2s" }, "minServing": 0,
        })
    );
    assert_eq!(
        body_of(
            "drain --selector app=gw --selector tier=eu --on-node m-1 --revision-not 2 --window 90s --then hold"
        ),
        json!({
            "kind": "drain", "window": "1m 30s", "then": "hold",
            "targets": { "selector": { "app": "gw", "tier": "eu" }, "node": "m-1", "revisionNot": "2" },
        })
    );
    assert_eq!(body_of("rebalance --max-moves 500"), json!({ "kind": "rebalance", "maxMoves": 500 }));
    assert_eq!(
        body_of("rollout --target scaleDown --replicas 2"),
        json!({ "kind": "rollout", "target": "scaleDown", "replicas": 2 })
    );
    for arguments in [
        "rollout --mode steer",
        "rollout --target scaleDown --replicas 2",
        "rollout --target revision --revision 6f7b --replacement surge",
        "drain --all --replacement detach --then evict",
        "drain --all --rate 5",
        "rebalance --reason why",
    ] {
        Spec::parse(&body_of(arguments)).unwrap();
    }
}

#[test]
fn a_drain_is_begun_once_however_often_it_is_said() {
    let api = Running::start();

    let text = ctl(&api, "drain gw-1 --id d-1 --reason disk --max-rate 50").good();
    assert!(text.starts_with("operation     d-1 (drain)\nstate         Pending\n"), "{text}");
    assert!(text.contains("reason        disk\n"), "{text}");
    ctl(&api, "drain gw-1 --id d-1 --reason disk --max-rate 50").good();
    let refused = ctl(&api, "drain gw-2 --id d-1").failure();
    assert!(refused.to_string().contains("409 id_reused"), "{refused}");
    assert_eq!(refused.exit_code(), 2);

    let json = ctl(&api, "--output json rollout --force").good();
    let operation: Operation = serde_json::from_str(&json).unwrap();
    assert!(operation.id.as_str().starts_with("rollout-"), "{}", operation.id);
    assert!(operation.spec.common().force);
}

#[test]
fn a_plan_is_shown_and_a_refusal_with_its_numbers() {
    let api = Running::start();

    let text = ctl(&api, "plan drain gw-1").good();
    assert!(text.contains("moves         150 clients in 1 waves\n"), "{text}");
    assert!(text.contains("warning       one node stays\n"), "{text}");
    assert!(text.contains("STAYS  CLIENTS  THEN  CAPACITY\ngw-2       150   300       500\n"), "{text}");

    api.fake.refuse(Refused::new("no_headroom", 422, "there is no room: force it").with("free", 20));
    let refused = ctl(&api, "plan rollout").failure();
    assert_eq!(refused.to_string(), "refused (422 no_headroom): there is no room: force it\n  free: 20");
}

#[test]
fn waiting_follows_the_operation_to_its_end() {
    let api = Running::start();
    let ran = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ctl(&api, "rollout --id r-1 --wait"));
        let start = std::time::Instant::now();
        while !api.fake.is_watched("r-1") {
            assert!(start.elapsed() < PATIENCE, "nobody watches");
            std::thread::yield_now();
        }
        api.fake.progress("r-1", |operation| progress(operation, 50, 100));
        api.fake.progress("r-1", |operation| progress(operation, 0, 100));
        waiting.join().unwrap()
    });

    assert!(ran.err.starts_with("r-1: Pending, 0 of 0 nodes over\n"), "{}", ran.err);
    assert!(ran.err.ends_with("r-1: Succeeded, 1 of 1 nodes over\n"), "{}", ran.err);
    let text = ran.good();
    assert!(
        text.contains("state         Succeeded\n") && text.contains("gw-1     1  Done     100"),
        "{text}"
    );
}

#[test]
fn an_operation_that_was_aborted_is_no_good_end() {
    let api = Running::start();
    ctl(&api, "rollout --id r-1").good();

    let ran = ctl(&api, "abort r-1 --wait --reason mistake");

    assert_eq!(ran.ended.unwrap(), End::Bad);
    assert_eq!(ctl(&api, "watch r-1").ended.unwrap(), End::Bad);
    assert_eq!(ctl(&api, "status r-1").ended.unwrap(), End::Bad);
}

#[test]
fn ctrl_c_stops_the_watching_and_says_how_to_go_on() {
    let api = Running::start();
    ctl(&api, "rollout --id r-1").good();

    let failure = ctl_until(&api, "watch r-1", std::future::ready(())).failure();

    assert_eq!(failure.exit_code(), 130);
    let text = failure.to_string();
    assert!(
        text.contains("r-1 goes on") && text.contains("ctl watch r-1") && text.contains("ctl abort r-1"),
        "{text}"
    );
    let stopped =
        api.fake.asked().iter().any(|asked| asked.starts_with("Abort") || asked.starts_with("Pause"));
    assert!(!stopped, "the operation was told nothing");
}

#[test]
fn a_timeout_gives_up_the_watching_only() {
    let api = Running::start();
    ctl(&api, "rollout --id r-1").good();

    let failure = ctl(&api, "watch r-1 --timeout 0").failure();

    assert_eq!(failure.exit_code(), 4);
    assert!(failure.to_string().contains("ctl watch r-1"), "{failure}");
}

#[test]
fn operations_are_listed_told_and_changed() {
    let api = Running::start();
    assert_eq!(ctl(&api, "list").good(), "There are no operations.\n");
    ctl(&api, "rollout --id r-1").good();
    ctl(&api, "drain gw-1 --id d-1").good();

    let text = ctl(&api, "list").good();
    assert!(
        text.starts_with(
            "OPERATION  KIND     STATE    NODES  MOVED  LOST  ASKED FOR BY\nd-1        drain    Pending"
        ),
        "{text}"
    );
    assert!(!ctl(&api, "list --kind rollout --active").good().contains("d-1"));
    assert!(ctl(&api, "list --limit 1").good().ends_with("There are more: --limit shows up to 200.\n"));

    for verb in ["pause", "resume", "force"] {
        ctl(&api, &format!("{verb} r-1")).good();
    }
    assert_eq!(ctl(&api, "retry r-1").failure().exit_code(), 2);
    let changed: Value = serde_json::from_str(&ctl(&api, "-o json change r-1 --max-rate 20").good()).unwrap();
    assert_eq!(changed["spec"]["maxRate"], 20.0);
    assert_eq!(ctl(&api, "change r-1").failure().exit_code(), 64);
    assert_eq!(ctl(&api, "pause r-9").failure().exit_code(), 2);
}

#[test]
fn nodes_and_the_cluster_are_shown_and_nodes_cordoned() {
    let api = Running::start();

    let text = ctl(&api, "status").good();
    assert!(text.starts_with("health        clients are well served\n"), "{text}");
    assert!(text.contains("leader        cp-0 (epoch 7)\n"), "{text}");
    assert!(text.contains("gw-2  no answer"), "{text}");
    assert!(ctl(&api, "nodes").good().starts_with("NODE  PHASE"));
    assert_eq!(ctl(&api, "cordon gw-1 --reason disk").good(), "gw-1 takes in no clients from now on\n");
    assert_eq!(ctl(&api, "uncordon gw-1").good(), "gw-1 serves again\n");
    assert_eq!(ctl(&api, "cordon gw-9").failure().exit_code(), 2);
}

#[test]
fn bad_health_is_an_exit_code() {
    let api = Running::start();
    assert!(ctl(&api, "health").good().contains("well served"));
    api.fake.cluster_is(|cluster| {
        cluster.serves_well = false;
        let message = "no node takes in clients".to_owned();
        cluster.complaints.push(Complaint { code: "no_ready_node".to_owned(), message, severe: true });
    });

    let ran = ctl(&api, "health");

    assert_eq!(ran.ended.unwrap(), End::Bad);
    assert!(
        ran.out.contains("NOT well served\nfault         no_ready_node: no node takes in clients\n"),
        "{}",
        ran.out
    );
}

#[test]
fn what_cannot_be_asked_is_told_with_its_own_exit_code() {
    let api = Running::start();
    let address = api.address;
    drop(api);
    let run = |arguments: &[&str]| {
        let cli = Cli::try_parse_from(["ctl"].iter().chain(arguments)).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut terminal = Terminal { out: &mut out, err: &mut err, is_live: false, output: cli.output };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(execute(&cli, &mut terminal, std::future::pending())).unwrap_err()
    };

    // Nobody listens on port 1.
    let gone = run(&["--server", "http://127.0.0.1:1", "cordon", "gw-1"]);
    assert_eq!(gone.exit_code(), 3, "{gone}");
    assert!(gone.to_string().contains("does not answer"), "{gone}");
    for server in ["https://cp:8080", "cp:8080", "ftp://cp", "http://"] {
        let wrong = run(&["--server", server, "nodes"]);
        assert_eq!(wrong.exit_code(), 64, "{server}: {wrong}");
    }
    let server = format!("http://{address}");
    let missing = run(&["--server", &server, "--token-file", "/does/not/exist", "nodes"]);
    assert_eq!(missing.exit_code(), 5, "{missing}");
    for wrong in ["nonsense", "a.b=1"] {
        let faulty = run(&["--server", &server, "drain", "--set", "a=1", "--set", wrong]);
        assert_eq!(faulty.exit_code(), 64, "{faulty}");
    }
}

#[test]
fn every_command_stands_in_the_guide() {
    let guide =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/control-plane-api.md")).unwrap();
    for command in Cli::command().get_subcommands() {
        assert!(guide.contains(&format!("`ctl {}", command.get_name())), "{}", command.get_name());
    }
}
