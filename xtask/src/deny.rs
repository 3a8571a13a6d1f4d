//! The part of deny.toml that can be enforced offline, in cargo-deny's own words.
//!
//! Sections that only cargo-deny can carry out are left alone; an unknown key in one of ours is an error, so that nothing
//! is written there that nobody enforces.

use std::path::Path;

use serde::Deserialize;

use crate::Failure;

#[derive(Debug, Deserialize)]
pub(crate) struct DenyFile {
    pub(crate) licenses: Licenses,
    pub(crate) bans: Bans,
    pub(crate) sources: Sources,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Licenses {
    /// SPDX identifiers.
    pub(crate) allow: Vec<String>,
    /// Of cargo-deny's reading of licence files; declared expressions are all that is looked at here.
    #[serde(rename = "confidence-threshold")]
    _confidence_threshold: f32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Bans {
    #[serde(rename = "multiple-versions")]
    _multiple_versions: Denied,
    /// Cargo itself refuses `*` for packages of a registry at publication; cargo-deny looks earlier.
    #[serde(rename = "wildcards")]
    _wildcards: Denied,
    #[serde(rename = "allow-wildcard-paths")]
    _allow_wildcard_paths: bool,
    pub(crate) deny: Vec<Named>,
    /// Versions that may be there beside another one.
    pub(crate) skip: Vec<Named>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Sources {
    #[serde(rename = "unknown-registry")]
    _unknown_registry: Denied,
    #[serde(rename = "unknown-git")]
    _unknown_git: Denied,
    pub(crate) allow_registry: Vec<String>,
}

/// A rule that is not negotiable here: any other level than `deny` is an error.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Denied {
    Deny,
}

/// `name` or `name@version`, where the version may be a major one only; and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    #[serde(rename = "crate")]
    spec: String,
    pub(crate) reason: String,
}

impl DenyFile {
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        crate::read_toml(path)
    }
}

impl Named {
    pub(crate) fn matches(&self, name: &str, version: &str) -> bool {
        match self.spec.split_once('@') {
            None => self.spec == name,
            Some((wanted, prefix)) => {
                let rest = version.strip_prefix(prefix);
                wanted == name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
        }
    }

    pub(crate) fn spec(&self) -> &str {
        &self.spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(spec: &str) -> Named {
        Named { spec: spec.to_owned(), reason: String::new() }
    }

    #[test]
    fn a_version_matches_whole_or_by_its_leading_numbers() {
        assert!(named("syn").matches("syn", "3.0.9"));
        assert!(named("syn@2").matches("syn", "2.0.1"));
        assert!(named("syn@2.0.1").matches("syn", "2.0.1"));
        assert!(!named("syn@2").matches("syn", "20.0.1"));
        assert!(!named("syn@2").matches("synstructure", "2.0.1"));
    }

    #[test]
    fn a_level_that_would_only_warn_is_no_rule() {
        let bans = "multiple-versions = \"warn\"\nwildcards = \"deny\"\nallow-wildcard-paths = true\ndeny = []\nskip = []";

        assert!(toml::from_str::<Bans>(bans).is_err());
        assert!(toml::from_str::<Bans>(&bans.replace("warn", "deny")).is_ok());
    }
}
