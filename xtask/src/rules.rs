//! .config/tidy.toml: our own rules, with room for exceptions that say why.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::Failure;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Rules {
    /// Which of our packages a package of ours may depend on.
    pub(crate) direction: BTreeMap<String, Vec<String>>,
    pub(crate) dev_only: DevOnly,
    /// What must not be anywhere below a package of ours.
    pub(crate) must_not_see: BTreeMap<String, Vec<String>>,
    pub(crate) files: FileRules,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DevOnly {
    pub(crate) packages: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct FileRules {
    pub(crate) rust_lines_max: usize,
    /// Path to reason.
    pub(crate) longer: BTreeMap<String, String>,
}

impl Rules {
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        crate::read_toml(path)
    }
}
