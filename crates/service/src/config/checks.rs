//! Rules between keys, checked once every key has its value.

use super::fault::Fault;
use super::reader::Sources;
use super::source::Source;

/// Takes the faults that [`Configuration::check`](super::Configuration::check) finds.
#[derive(Debug)]
pub struct Checks<'a> {
    sources: &'a Sources,
    faults: &'a mut Vec<Fault>,
    /// How many faults there were before the rules between keys.
    own_faults: usize,
}

impl<'a> Checks<'a> {
    pub(super) fn new(sources: &'a Sources, faults: &'a mut Vec<Fault>) -> Self {
        let own_faults = faults.len();
        Self { sources, faults, own_faults }
    }

    /// Where the value of the dotted `key` came from.
    pub fn source(&self, key: &str) -> Source {
        self.sources.get(key).cloned().unwrap_or(Source::Default)
    }

    /// Reports that the values of `keys` do not fit together.
    ///
    /// Nothing is reported when one of them is faulty by itself: its value is a stand-in, and a person who mends it
    /// is told next time if the rule is still broken.
    pub fn fault(&mut self, keys: &[&str], message: impl Into<String>) {
        let is_stand_in = |key: &&str| self.faults[..self.own_faults].iter().any(|fault| fault.concerns(key));
        if keys.iter().any(is_stand_in) {
            return;
        }
        let keys = keys.iter().map(|key| (self.source(key), (*key).to_owned())).collect();
        self.faults.push(Fault::between(keys, message));
    }
}
