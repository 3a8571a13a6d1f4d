//! Where a configured value came from: every fault and every printed value names it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The layer, and the place in it, that gave a key its value. Later variants override earlier ones.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Source {
    /// Nothing named the key: the value is the built-in one.
    Default,
    /// The configuration file. Line and column count from 1, columns in characters.
    File {
        /// The file as it was named at start.
        path: Arc<Path>,
        /// Line of the value.
        line: usize,
        /// Column of the value.
        column: usize,
    },
    /// An environment variable.
    Environment {
        /// The variable's name.
        variable: Arc<str>,
    },
    /// A `--set` flag.
    Flag {
        /// The dotted key in front of the flag's `=`.
        key: Arc<str>,
    },
}

impl Source {
    /// The place of byte `offset` of the file `path`, whose content is `text`.
    pub(super) fn in_file(path: &Arc<Path>, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self::File {
            path: Arc::clone(path),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// How `--print-config` marks a value: without the column, which says nothing about a whole value.
    pub(super) fn mark(&self) -> String {
        match self {
            Self::File { path, line, .. } => format!("file {}:{line}", path.display()),
            Self::Default | Self::Environment { .. } | Self::Flag { .. } => self.to_string(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(out, "default"),
            Self::File { path, line, column } => write!(out, "file {}:{line}:{column}", path.display()),
            Self::Environment { variable } => write!(out, "env {variable}"),
            Self::Flag { key } => write!(out, "flag --set {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_file_counts_lines_and_characters_from_one() {
        let path: Arc<Path> = Path::new("/etc/x.toml").into();
        let text = "a = 1\nné = 2\n";

        let at = |offset| Source::in_file(&path, text, offset).to_string();

        assert_eq!(at(0), "file /etc/x.toml:1:1");
        assert_eq!(at(6), "file /etc/x.toml:2:1");
        assert_eq!(at(text.find('2').unwrap()), "file /etc/x.toml:2:6");
        assert_eq!(at(10_000), "file /etc/x.toml:3:1");
    }
}
