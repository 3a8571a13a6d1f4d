//! A map by name that knows which entry was used longest ago.
//!
//! Entries lie in a list within one vector, linked from the least to the most recently used: a use moves one entry to
//! the end by changing a few indices, without allocating.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

#[cfg(test)]
mod tests;

#[derive(Debug)]
pub(crate) struct LruMap<K, V> {
    slots_by_key: HashMap<K, u32>,
    slots: Vec<Slot<K, V>>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
}

#[derive(Debug)]
struct Slot<K, V> {
    entry: Option<(K, V)>,
    /// What the caller said at the last use: several maps can be compared by it.
    used: u64,
    older: u32,
    newer: u32,
}

/// Beyond either end of the list.
const NONE: u32 = u32::MAX;

impl<K, V> Default for LruMap<K, V> {
    fn default() -> Self {
        Self { slots_by_key: HashMap::new(), slots: Vec::new(), free: Vec::new(), oldest: NONE, newest: NONE }
    }
}

impl<K: Clone + Eq + Hash + Borrow<str>, V> LruMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.slots_by_key.len()
    }

    /// Looks without using.
    pub(crate) fn peek(&self, key: &str) -> Option<&V> {
        let slot = *self.slots_by_key.get(key)?;
        self.slots[slot as usize].entry.as_ref().map(|(_, value)| value)
    }

    /// Uses an entry. `used` does not fall from call to call.
    pub(crate) fn get_mut(&mut self, key: &str, used: u64) -> Option<&mut V> {
        let slot = *self.slots_by_key.get(key)?;
        self.unlink(slot);
        self.link_newest(slot, used);
        self.slots[slot as usize].entry.as_mut().map(|(_, value)| value)
    }

    /// Adds an entry, or replaces the value of one, as its use.
    pub(crate) fn insert(&mut self, key: K, value: V, used: u64) -> &mut V {
        self.remove(key.borrow());
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { entry: None, used, older: NONE, newer: NONE });
            u32::try_from(self.slots.len() - 1).expect("maps here are bounded far below 2^32 entries")
        });
        self.slots_by_key.insert(key.clone(), slot);
        self.link_newest(slot, used);
        let entry = self.slots[slot as usize].entry.insert((key, value));
        &mut entry.1
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<(K, V)> {
        let slot = self.slots_by_key.remove(key)?;
        self.unlink(slot);
        self.free.push(slot);
        self.slots[slot as usize].entry.take()
    }

    /// When the entry that was used longest ago was used.
    pub(crate) fn oldest_used(&self) -> Option<u64> {
        self.slots.get(self.oldest as usize).map(|slot| slot.used)
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<(K, V)> {
        let (key, _) = self.slots.get(self.oldest as usize)?.entry.as_ref()?;
        let key = key.clone();
        self.remove(key.borrow())
    }

    /// Removes the entries for which `keep` says no; none of the others counts as used.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let mut next = self.oldest;
        while let Some(slot) = self.slots.get_mut(next as usize) {
            next = slot.newer;
            let Some((key, value)) = &mut slot.entry else { continue };
            if !keep(key, value) {
                let key = key.clone();
                self.remove(key.borrow());
            }
        }
    }

    fn link_newest(&mut self, slot: u32, used: u64) {
        let older = self.newest;
        let linked = &mut self.slots[slot as usize];
        (linked.used, linked.older, linked.newer) = (used, older, NONE);
        match self.slots.get_mut(older as usize) {
            Some(neighbour) => neighbour.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let (older, newer) = (self.slots[slot as usize].older, self.slots[slot as usize].newer);
        match self.slots.get_mut(older as usize) {
            Some(neighbour) => neighbour.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(neighbour) => neighbour.older = older,
            None => self.newest = older,
        }
    }
}
