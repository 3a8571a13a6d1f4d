//! The environment as it was at start, for defaults that come from it.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Variables of the process, taken once: what is configured cannot change under a running process.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variable's text, if it is set, is not empty and is UTF-8.
    pub fn text(&self, variable: &str) -> Option<&str> {
        let value = self.0.get(std::ffi::OsStr::new(variable))?.to_str()?;
        (!value.is_empty()).then_some(value)
    }

    /// All variables in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.0.iter()
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}
