use proptest::prelude::*;

use super::*;

/// The same map as a list, from the least to the most recently used.
#[derive(Default)]
struct Model(Vec<(&'static str, u8, u64)>);

impl Model {
    fn take(&mut self, key: &str) -> Option<(&'static str, u8, u64)> {
        let at = self.0.iter().position(|(named, ..)| *named == key)?;
        Some(self.0.remove(at))
    }
}

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_does_what_a_plain_list_would(steps in prop::collection::vec((0..6_u8, 0..KEYS.len(), any::<u8>()), 1..60)) {
        let (mut map, mut model) = (LruMap::<&'static str, u8>::default(), Model::default());

        for (used, (step, key, value)) in (0_u64..).zip(steps) {
            let key = KEYS[key];
            match step {
                0 | 1 => {
                    map.insert(key, value, used);
                    model.take(key);
                    model.0.push((key, value, used));
                }
                2 => {
                    let found = model.take(key).map(|(key, value, _)| (key, value, used));
                    prop_assert_eq!(map.get_mut(key, used).copied(), found.map(|(_, value, _)| value));
                    model.0.extend(found);
                }
                3 => {
                    let removed = model.take(key).map(|(key, value, _)| (key, value));
                    prop_assert_eq!(map.remove(key), removed);
                }
                4 => {
                    let oldest = (!model.0.is_empty()).then(|| model.0.remove(0));
                    prop_assert_eq!(map.pop_oldest(), oldest.map(|(key, value, _)| (key, value)));
                }
                _ => {
                    map.retain(|_, kept| *kept >= value);
                    model.0.retain(|(_, kept, _)| *kept >= value);
                }
            }

            prop_assert_eq!(map.len(), model.0.len());
            prop_assert_eq!(map.oldest_used(), model.0.first().map(|(.., used)| *used));
            for key in KEYS {
                let value = model.0.iter().find(|(named, ..)| *named == key).map(|(_, value, _)| value);
                prop_assert_eq!(map.peek(key), value);
            }
        }
    }
}
