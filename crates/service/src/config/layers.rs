//! Lays file, environment and flags over each other.
//!
//! Place in the path: text in, one untyped tree out, in which every value still knows its place.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::environment::Environment;
use super::fault::Fault;
use super::source::Source;
use super::tree::{Table, insert, parse_document};

/// What all variables of ours begin with.
const VARIABLE_PREFIX: &str = "TIDEGATE_";

/// Names the configuration file where the flag does not.
pub(super) const FILE_VARIABLE: &str = "TIDEGATE_CONFIG";

/// The merged tree, and what was wrong with the layers themselves.
#[derive(Debug)]
pub(super) struct Layers<'a> {
    /// Dotted paths of the sections, which have keys and no value.
    sections: &'a BTreeSet<String>,
    pub(super) table: Table,
    pub(super) faults: Vec<Fault>,
    /// Whether the file could be read and understood; if not, what it would have set is unknown.
    pub(super) is_complete: bool,
}

impl<'a> Layers<'a> {
    /// `file` and `settings` (`key=value`) are what the flags said.
    pub(super) fn gather(
        sections: &'a BTreeSet<String>,
        file: Option<&Path>,
        environment: &Environment,
        settings: &[String],
    ) -> Self {
        let mut layers = Self { sections, table: Table::new(), faults: Vec::new(), is_complete: true };
        if let Some(path) = file {
            layers.add_file(path);
        }
        layers.add_environment(environment);
        layers.add_flags(settings);
        layers
    }

    fn add_file(&mut self, path: &Path) {
        let path: Arc<Path> = path.into();
        let (table, faults) = match std::fs::read_to_string(&path) {
            Ok(text) => parse_document(&text, &path),
            Err(error) => {
                let source = Source::File { path: Arc::clone(&path), line: 1, column: 1 };
                (Table::new(), vec![Fault::new("", source, format!("cannot be read: {error}"))])
            }
        };
        self.is_complete = faults.is_empty();
        if faults.is_empty() {
            self.table = table;
        }
        self.faults.extend(faults);
    }

    fn add_environment(&mut self, environment: &Environment) {
        for (name, value) in environment.iter() {
            let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
            let source = Source::Environment { variable: name.into() };
            let Some(value) = value.to_str() else {
                self.faults.push(Fault::new("", source, "is not UTF-8"));
                continue;
            };
            if name == FILE_VARIABLE || is_service_link(name, value) {
                continue;
            }
            let key = name[VARIABLE_PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
            if variable(&key) != name {
                self.faults.push(Fault::new(
                    "",
                    source,
                    format!("unknown; variables are written {}", variable(&key)),
                ));
                continue;
            }
            self.set(&key, value, &source);
        }
    }

    fn add_flags(&mut self, settings: &[String]) {
        for setting in settings {
            let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
            let key = key.trim();
            let source = Source::Flag { key: key.into() };
            if key.is_empty() || !setting.contains('=') {
                self.faults.push(Fault::new("", source, "expected `--set section.key=value`"));
                continue;
            }
            self.set(key, value, &source);
        }
    }

    fn set(&mut self, key: &str, value: &str, source: &Source) {
        // Laid into the tree it would hide the section's keys, and their faults, that other layers hold.
        if self.sections.contains(key) {
            let message = format!("found {value:?}, expected nothing: a section's keys are set one by one");
            self.faults.push(Fault::new(key, source.clone(), message));
            return;
        }
        let path: Vec<&str> = key.split('.').collect();
        if let Err(error) = insert(&mut self.table, &path, value, source) {
            self.faults.push(Fault::new(key, source.clone(), error.to_string()));
        }
    }
}

/// The variable that sets the dotted `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Whether Kubernetes made this variable for a Service whose name begins with `tidegate`.
///
/// Pods get `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT[_PORTNAME]`, `NAME_PORT=tcp://…` and `NAME_PORT_80_TCP[_…]` for
/// each Service of their namespace unless `enableServiceLinks` is off; none of them is meant for us.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_port_part = || {
        let Some((_, rest)) = name.split_once("_PORT_") else { return false };
        let mut words = rest.split('_');
        let is_number = words.next().is_some_and(|word| word.parse::<u16>().is_ok());
        is_number && words.next().is_some_and(|word| matches!(word, "TCP" | "UDP" | "SCTP"))
    };
    !name.contains("__")
        && (name.ends_with("_SERVICE_HOST")
            || name.ends_with("_SERVICE_PORT")
            || name.contains("_SERVICE_PORT_")
            || (name.ends_with("_PORT") && is_url)
            || is_port_part())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_kubernetes_makes_for_services_are_not_ours() {
        for (name, value) in [
            ("TIDEGATE_GATEWAY_SERVICE_HOST", "10.0.0.7"),
            ("TIDEGATE_GATEWAY_SERVICE_PORT", "8000"),
            ("TIDEGATE_GATEWAY_SERVICE_PORT_CLIENT", "8000"),
            ("TIDEGATE_GATEWAY_PORT", "tcp://10.0.0.7:8000"),
            ("TIDEGATE_GATEWAY_PORT_8000_TCP", "tcp://10.0.0.7:8000"),
            ("TIDEGATE_GATEWAY_PORT_8000_TCP_ADDR", "10.0.0.7"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
        for (name, value) in [("TIDEGATE_ADMIN_PORT", "9000"), ("TIDEGATE_CLIENT__SERVICE_PORT", "1")] {
            assert!(!is_service_link(name, value), "{name}");
        }
    }
}
