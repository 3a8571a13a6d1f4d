//! Running the binary: a floor server in the background, and scenarios to their end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tidegate-loadtest");

/// A floor server; killed when dropped.
pub(crate) struct FloorServer {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl FloorServer {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(BINARY).arg("floor").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
        Self { child, address }
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for FloorServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a finished run left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    /// The JSON document, or null.
    pub(crate) report: Value,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a scenario on `path` of `server` with JSON output. `line`: the scenario and its options, separated by spaces.
pub(crate) fn run_on(server: SocketAddr, path: &str, line: &str) -> Outcome {
    let (scenario, options) = line.split_once(' ').unwrap_or((line, ""));
    run(&format!("{scenario} --url ws://{server}{path} --json --quiet {options}"))
}

/// Runs the binary with these arguments, separated by spaces.
pub(crate) fn run(line: &str) -> Outcome {
    let words: Vec<&str> = line.split_whitespace().collect();
    run_words(&words)
}

/// Runs the binary with these arguments.
pub(crate) fn run_words(words: &[&str]) -> Outcome {
    run_words_with(words, [])
}

/// Runs the binary with these arguments, and these variables besides its own.
pub(crate) fn run_words_with<const N: usize>(words: &[&str], variables: [(&str, &str); N]) -> Outcome {
    let output = Command::new(BINARY).args(words).envs(variables).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        report: serde_json::from_str(&stdout).unwrap_or(Value::Null),
        stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
