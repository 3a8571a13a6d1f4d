//! What one watch has told so far: the objects by name, and a list that is coming in.
//!
//! Place in the path: `cluster.rs` has one for each kind of object. A watch that was cut off lists everything again;
//! what such a list lacks was deleted meanwhile, so a restart of the API server loses no deletion.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::runtime::watcher::Event;

/// The objects of one kind, in the form in which they are kept.
#[derive(Debug)]
pub(crate) struct Listing<T> {
    known: BTreeMap<String, T>,
    arriving: BTreeMap<String, T>,
    listed: bool,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), arriving: BTreeMap::new(), listed: false }
    }
}

impl<T> Listing<T> {
    /// Takes an event; `keep` says what to keep of an object, or that it does not count. Returns what was deleted.
    pub(crate) fn apply<K: ResourceExt>(
        &mut self,
        event: Event<K>,
        keep: impl Fn(&K) -> Option<T>,
    ) -> Vec<T> {
        match event {
            Event::Init => {
                self.arriving.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(kept) = keep(&object) {
                    self.arriving.insert(object.name_any(), kept);
                }
                Vec::new()
            }
            Event::InitDone => {
                self.listed = true;
                let mut before = std::mem::replace(&mut self.known, std::mem::take(&mut self.arriving));
                before.retain(|name, _| !self.known.contains_key(name));
                before.into_values().collect()
            }
            Event::Apply(object) => match keep(&object) {
                Some(kept) => {
                    self.known.insert(object.name_any(), kept);
                    Vec::new()
                }
                None => self.known.remove(&object.name_any()).into_iter().collect(),
            },
            Event::Delete(object) => self.known.remove(&object.name_any()).into_iter().collect(),
        }
    }

    /// Whether everything was listed at least once.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed
    }

    /// The objects, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.known.values()
    }

    /// One object.
    pub(crate) fn named(&self, name: &str) -> Option<&T> {
        self.known.get(name)
    }
}
