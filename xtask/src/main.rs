//! `cargo xtask tidy`: checks what the compiler, clippy and rustfmt do not.
//!
//! Dependencies (deny.toml, read as cargo-deny reads it, and the direction between our own crates) and files (length,
//! links in the documentation, notes without a reason, switched-off lints and tests). Offline, and about a second. Prints each finding
//! and ends with code 1 if there is one; with 2 if it could not look.

mod deny;
mod dependencies;
mod files;
mod rules;
mod tree;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::deny::DenyFile;
use crate::rules::Rules;
use crate::tree::{Edges, Lockfile, Tree};

/// Something that a rule does not allow: where, what, and what to do.
type Finding = String;

/// Why the checks could not be carried out.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("usage: cargo xtask tidy")]
    Usage,
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: {message}")]
    Malformed { path: PathBuf, message: String },
    #[error("`{command}`: {message}")]
    Command { command: String, message: String },
}

fn main() -> ExitCode {
    let (code, report) = match run() {
        Ok(findings) if findings.is_empty() => (0, "tidy: nothing to object to\n".to_owned()),
        Ok(findings) => (1, list(&findings)),
        Err(failure) => (2, format!("tidy: {failure}\n")),
    };
    // Nowhere is left to complain if this fails; the exit code still says it.
    let _ = io::stdout().write_all(report.as_bytes());
    ExitCode::from(code)
}

fn run() -> Result<Vec<Finding>, Failure> {
    let mut arguments = std::env::args().skip(1);
    if (arguments.next().as_deref(), arguments.next()) != (Some("tidy"), None) {
        return Err(Failure::Usage);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let deny = DenyFile::load(&root.join("deny.toml"))?;
    let rules = Rules::load(&root.join(".config/tidy.toml"))?;
    let linked = Tree::load(root, Edges::NormalAndBuild)?;
    let all = Tree::load(root, Edges::All)?;
    let lockfile = Lockfile::load(&root.join("Cargo.lock"))?;

    let mut findings = Vec::new();
    dependencies::check_licences(&deny.licenses, &all, &mut findings);
    dependencies::check_bans(&deny.bans, &all, &mut findings);
    dependencies::check_duplicates(&deny.bans, &all, &mut findings);
    dependencies::check_sources(&deny.sources, &lockfile, &mut findings);
    dependencies::check_direction(&rules, &linked, &mut findings);
    dependencies::check_must_not_see(&rules, &linked, &mut findings);
    files::check(root, &rules.files, &mut findings)?;
    Ok(findings)
}

fn list(findings: &[Finding]) -> String {
    let mut report = String::new();
    for finding in findings {
        // Writing to a String cannot fail.
        let _ = writeln!(report, "tidy: {finding}");
    }
    let _ = writeln!(report, "tidy: {} findings", findings.len());
    report
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|source| Failure::Read { path: path.to_owned(), source })
}

fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    toml::from_str(&read(path)?)
        .map_err(|error| Failure::Malformed { path: path.to_owned(), message: error.to_string() })
}
