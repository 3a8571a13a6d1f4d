//! Checks of the files that git knows: length, links, notes without a reason, switched-off lints and tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rules::FileRules;
use crate::{Failure, Finding, read};

/// Words for things left undone. Each has to say why in parentheses, as in `FIXME(until rustc can do it)`.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Attributes that switch something off in silence, and what to write instead.
const FORBIDDEN: [(&str, &str); 3] = [
    (concat!("#[", "allow("), "use #[expect(lint, reason = \"…\")]: it tells when it is no longer needed"),
    (concat!("#![", "allow("), "use #![expect(lint, reason = \"…\")]: it tells when it is no longer needed"),
    (concat!("#[", "ignore"), "a test that does not run proves nothing: make it pass or remove it"),
];

pub(crate) fn check(root: &Path, rules: &FileRules, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let files = tracked(root)?;
    for path in rules.longer.keys().filter(|path| !files.iter().any(|file| file == Path::new(path))) {
        findings.push(format!("tidy.toml lets {path} be longer, which does not exist"));
    }
    for file in &files {
        let is = |extension: &str| file.extension().is_some_and(|found| found == extension);
        if !is("rs") && !is("md") {
            continue;
        }
        let (text, shown) = (read(&root.join(file))?, file.display().to_string());
        if is("rs") {
            check_length(&shown, &text, rules, findings);
            check_lines(&shown, &text, findings);
        } else {
            check_links(root, file, &text, findings);
        }
    }
    Ok(())
}

fn check_length(file: &str, text: &str, rules: &FileRules, findings: &mut Vec<Finding>) {
    let lines = text.lines().count();
    let is_long = lines > rules.rust_lines_max;
    match (is_long, rules.longer.contains_key(file)) {
        (true, false) => findings.push(format!(
            "{file}: {lines} lines, the most is {}: split it, or say why not in tidy.toml",
            rules.rust_lines_max
        )),
        (false, true) => findings.push(format!("{file}: no longer too long, drop it from tidy.toml")),
        _ => {}
    }
}

fn check_lines(file: &str, text: &str, findings: &mut Vec<Finding>) {
    for (number, line) in (1..).zip(text.lines()) {
        for (attribute, instead) in FORBIDDEN {
            if line.trim_start().starts_with(attribute) {
                findings.push(format!("{file}:{number}: {instead}"));
            }
        }
        for note in NOTES.iter().filter(|note| is_bare_note(line, note)) {
            findings.push(format!(
                "{file}:{number}: {note} without a reason: write {note}(why it has to stay for now)"
            ));
        }
    }
}

/// Whether `note` stands in the line as a word of its own, without a reason in parentheses.
fn is_bare_note(line: &str, note: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(note).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + note.len()..]);
        !before.ends_with(is_word) && !after.starts_with(is_word) && !after.starts_with('(')
    })
}

/// Relative links have to lead to a file or folder; anchors and other sites are not looked at.
fn check_links(root: &Path, file: &Path, text: &str, findings: &mut Vec<Finding>) {
    let folder = root.join(file.parent().unwrap_or(Path::new("")));
    for (number, target) in links(text) {
        let path = target.split('#').next().unwrap_or_default();
        let leads_away = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
        if !leads_away && !folder.join(path).exists() {
            findings.push(format!("{}:{number}: the link to {target} leads nowhere", file.display()));
        }
    }
}

/// Targets of `[text](target)` and `![text](target "title")` outside of code, with their lines.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).flat_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let line = if in_code { "" } else { line };
        line.split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', ' ']).next())
            .map(move |target| (number, target))
    })
}

/// What git tracks, and what it would if someone added everything.
fn tracked(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let failure = |message| Failure::Command { command: format!("git {}", arguments.join(" ")), message };
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|error| failure(error.to_string()))?;
    if !output.status.success() {
        return Err(failure(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let listed = String::from_utf8(output.stdout).map_err(|error| failure(error.to_string()))?;
    // A file that was removed is still listed until the removal is committed.
    Ok(listed
        .split('\0')
        .filter(|path| !path.is_empty() && root.join(path).is_file())
        .map(PathBuf::from)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(longer: &str) -> FileRules {
        toml::from_str(&format!("rust-lines-max = 2\nlonger = {{ {longer} }}")).unwrap()
    }

    fn findings(check: impl FnOnce(&mut Vec<Finding>)) -> usize {
        let mut findings = Vec::new();
        check(&mut findings);
        findings.len()
    }

    #[test]
    fn a_file_at_the_limit_passes_and_one_line_more_does_not_unless_it_is_listed() {
        assert_eq!(findings(|found| check_length("a.rs", "1\n2\n", &rules(""), found)), 0);
        assert_eq!(findings(|found| check_length("a.rs", "1\n2\n3\n", &rules(""), found)), 1);
        assert_eq!(findings(|found| check_length("a.rs", "1\n2\n3\n", &rules("'a.rs' = 'why'"), found)), 0);
        assert_eq!(findings(|found| check_length("a.rs", "1\n", &rules("'a.rs' = 'why'"), found)), 1);
    }

    #[test]
    fn notes_need_a_reason_and_words_that_contain_one_are_no_notes() {
        let note = NOTES[0];

        assert!(is_bare_note(&format!("// {note}: later"), note));
        assert!(!is_bare_note(&format!("// {note}(rustc 1.99 has it)"), note));
        assert!(!is_bare_note(&format!("{note}S_MAX"), note));
    }

    #[test]
    fn a_switched_off_lint_or_test_is_found() {
        for (attribute, _) in FORBIDDEN {
            assert_eq!(
                findings(|found| check_lines("a.rs", &format!("    {attribute}dead_code)]"), found)),
                1
            );
        }
    }

    #[test]
    fn links_are_read_outside_of_code_only() {
        let text = "see [a](b.md#part), ![c](d/e.png \"title\")\n```\n[no](nowhere)\n```\n[f](g)";

        assert_eq!(links(text).collect::<Vec<_>>(), [(1, "b.md#part"), (1, "d/e.png"), (5, "g")]);
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text =
            "[here](Cargo.toml) [up](../LICENSE) [away](https://example.com/x) [part](#part) [lost](lost.md)";

        assert_eq!(findings(|found| check_links(root, Path::new("README.md"), text, found)), 1);
    }
}
