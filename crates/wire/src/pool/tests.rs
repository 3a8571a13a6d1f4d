use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const KIB: usize = 1024;

#[test]
fn a_request_is_served_from_the_smallest_class_that_holds_it() {
    let pool = pool(usize::MAX, 0);
    let cases = [
        (0, KIB),
        (1, KIB),
        (KIB, KIB),
        (KIB + 1, 4 * KIB),
        (4 * KIB, 4 * KIB),
        (4 * KIB + 1, 16 * KIB),
        (KIB * KIB, KIB * KIB),
        (KIB * KIB + 1, 4 * KIB * KIB),
    ];
    for (asked, given) in cases {
        let buffer = take(&pool, asked);
        assert_eq!((buffer.capacity(), pool.stats().in_use_bytes), (given, given), "asked for {asked}");
    }
}

#[test]
fn a_request_above_the_largest_class_is_refused() {
    let pool = pool(usize::MAX, 0);
    let largest = class_bytes(CLASS_COUNT - 1);
    assert_eq!(class_for_request(largest), Some(CLASS_COUNT - 1));
    assert!(pool.try_take(largest + 1).is_none());
    assert!(pool.try_take(usize::MAX).is_none());
    assert_eq!((pool.stats().refused_total, pool.stats().in_use_bytes), (2, 0));
}

#[test]
fn buffers_in_use_reach_their_bound_and_never_pass_it() {
    let pool = pool(5 * KIB, 0);
    let _four = take(&pool, 4 * KIB);
    let one = take(&pool, KIB);
    assert!(pool.try_take(1).is_none());
    assert_eq!((pool.stats().in_use_bytes, pool.stats().refused_total), (5 * KIB, 1));
    drop(one);
    assert!(pool.try_take(1).is_some(), "what came back can be taken again");
}

#[test]
fn a_bound_one_byte_under_a_class_refuses_that_class() {
    assert!(pool(KIB, 0).try_take(1).is_some());
    assert!(pool(KIB - 1, 0).try_take(1).is_none());
}

#[test]
fn free_buffers_reach_their_bound_and_what_comes_back_above_it_is_freed() {
    let pool = pool(usize::MAX, 5 * KIB);
    let buffers = [take(&pool, 4 * KIB), take(&pool, KIB), take(&pool, KIB)];
    drop(buffers);
    let stats = pool.stats();
    assert_eq!((stats.in_use_bytes, stats.free_bytes), (0, 5 * KIB));

    let _four = take(&pool, 4 * KIB);
    let _ones = [take(&pool, KIB), take(&pool, KIB)];
    assert_eq!(pool.stats().allocated_total, 4, "of the second three, only the third buffer is new");
}

#[test]
fn a_returned_buffer_is_used_again_and_shows_nothing_of_its_past() {
    let pool = pool(usize::MAX, usize::MAX);
    let mut buffer = take(&pool, 10);
    buffer.try_extend(b"secret").unwrap();
    drop(buffer);

    let buffer = take(&pool, 10);
    assert!(buffer.is_empty());
    assert_eq!((pool.stats().taken_total, pool.stats().allocated_total), (2, 1));
}

#[test]
fn trim_frees_what_is_not_in_use_and_nothing_else() {
    let pool = pool(usize::MAX, usize::MAX);
    let mut kept = take(&pool, KIB);
    kept.try_extend(b"kept").unwrap();
    drop(take(&pool, 4 * KIB));

    pool.trim();

    let stats = pool.stats();
    assert_eq!((stats.in_use_bytes, stats.free_bytes), (KIB, 0));
    assert_eq!(&*kept, b"kept");
    drop(take(&pool, 4 * KIB));
    assert_eq!(pool.stats().allocated_total, 3, "the freed one had to be made anew");
}

#[test]
fn a_buffer_grows_in_place_within_its_class_and_then_moves() {
    let pool = pool(usize::MAX, usize::MAX);
    let mut buffer = take(&pool, KIB);
    buffer.try_extend(&[1; KIB]).unwrap();
    assert_eq!((buffer.capacity(), pool.stats().taken_total), (KIB, 1));

    buffer.try_extend(&[2]).unwrap();

    assert_eq!((buffer.len(), buffer[KIB - 1], buffer[KIB]), (KIB + 1, 1, 2));
    let stats = pool.stats();
    assert_eq!((stats.in_use_bytes, stats.free_bytes, stats.taken_total), (4 * KIB, KIB, 2));
}

#[test]
fn growth_that_would_pass_the_bound_is_refused_and_leaves_the_contents() {
    // The old and the new buffer both count while the bytes move.
    for (bound, fits) in [(5 * KIB, true), (5 * KIB - 1, false)] {
        let pool = pool(bound, 0);
        let mut buffer = take(&pool, KIB);
        buffer.try_extend(&[7; KIB]).unwrap();
        let grown = buffer.try_extend(&[8]);
        assert_eq!(grown.is_ok(), fits, "bound {bound}");
        assert_eq!(buffer.len(), KIB + usize::from(fits));
        assert_eq!(buffer[..KIB], [7; KIB]);
    }
}

#[test]
fn growth_past_the_address_space_is_refused() {
    let pool = pool(usize::MAX, 0);
    let mut buffer = take(&pool, 1);
    buffer.try_extend(b"x").unwrap();
    assert_eq!(buffer.try_reserve(usize::MAX), Err(PoolExhausted));
    assert_eq!(&*buffer, b"x");
}

#[test]
fn the_front_can_be_drained_in_part_in_whole_and_beyond() {
    let pool = pool(usize::MAX, 0);
    let mut buffer = take(&pool, 1);
    buffer.try_extend(b"abcdef").unwrap();
    buffer.drain_front(2);
    assert_eq!(&*buffer, b"cdef");
    buffer.truncate(3);
    assert_eq!(&*buffer, b"cde");
    buffer.drain_front(4);
    assert!(buffer.is_empty());
}

#[test]
fn a_charge_counts_as_in_use_until_it_is_dropped() {
    let pool = pool(KIB, 0);
    let charge = pool.try_charge(1).unwrap();
    assert_eq!(pool.stats().in_use_bytes, 1);
    assert!(pool.try_take(KIB).is_none());
    assert!(pool.try_charge(KIB).is_none());
    drop(charge);
    assert!(pool.try_charge(KIB).is_some());
    assert_eq!(pool.stats().in_use_bytes, 0);
}

#[test]
fn a_buffer_outlives_the_handle_it_was_taken_from() {
    let pool = pool(usize::MAX, usize::MAX);
    let mut buffer = take(&pool, 1);
    drop(pool);
    buffer.try_extend(&[1; 2 * KIB]).unwrap();
    assert_eq!(buffer.len(), 2 * KIB);
}

#[test]
fn debug_output_shows_sizes_and_no_contents() {
    let pool = pool(usize::MAX, 0);
    let mut buffer = take(&pool, 1);
    buffer.try_extend(b"user data").unwrap();
    assert_eq!(format!("{buffer:?}"), "PoolBuffer { len: 9, capacity: 1024 }");
}

#[derive(Clone, Debug)]
enum Step {
    Take { capacity: usize },
    Extend { at: usize, len: usize },
    DrainFront { at: usize, n: usize },
    Drop { at: usize },
    Trim,
}

fn any_step() -> impl Strategy<Value = Step> {
    let at = 0..8_usize;
    prop_oneof![
        4 => (0..40 * KIB).prop_map(|capacity| Step::Take { capacity }),
        4 => (at.clone(), 0..20 * KIB).prop_map(|(at, len)| Step::Extend { at, len }),
        2 => (at.clone(), 0..20 * KIB).prop_map(|(at, n)| Step::DrainFront { at, n }),
        3 => at.prop_map(|at| Step::Drop { at }),
        1 => Just(Step::Trim),
    ]
}

/// The pool as arithmetic: capacities handed out with their contents, and how many of each capacity are free.
struct Model {
    config: PoolConfig,
    held: VecDeque<(PoolBuffer, usize, Vec<u8>)>,
    free: Vec<usize>,
}

impl Model {
    fn in_use_bytes(&self) -> usize {
        self.held.iter().map(|(_, capacity, _)| capacity).sum()
    }

    fn free_bytes(&self) -> usize {
        self.free.iter().sum()
    }

    /// Whether the pool must grant `capacity`; books it as taken off the free ones if so.
    fn grants(&mut self, capacity: usize) -> bool {
        if self.in_use_bytes() + capacity > self.config.in_use_bytes_max {
            return false;
        }
        if let Some(at) = self.free.iter().position(|&free| free == capacity) {
            self.free.swap_remove(at);
        }
        true
    }

    fn came_back(&mut self, capacity: usize) {
        if self.free_bytes() + capacity <= self.config.free_bytes_max {
            self.free.push(capacity);
        }
    }
}

fn class_of(mut needed: usize) -> usize {
    let mut class = KIB;
    needed = needed.max(1);
    while class < needed {
        class *= 4;
    }
    class
}

proptest! {
    #[test]
    fn any_use_of_the_pool_agrees_with_plain_arithmetic(
        in_use_bytes_max in 0..200 * KIB,
        free_bytes_max in 0..100 * KIB,
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let config = PoolConfig { in_use_bytes_max, free_bytes_max };
        let pool = BufferPool::new(config);
        let mut model = Model { config, held: VecDeque::new(), free: Vec::new() };

        for (tick, step) in steps.into_iter().enumerate() {
            match step {
                Step::Take { capacity } => {
                    let class = class_of(capacity);
                    let granted = model.grants(class);
                    let buffer = pool.try_take(capacity);
                    prop_assert_eq!(buffer.is_some(), granted);
                    if let Some(buffer) = buffer {
                        prop_assert_eq!(buffer.capacity(), class);
                        model.held.push_back((buffer, class, Vec::new()));
                    }
                }
                Step::Extend { at, len } => {
                    let Some((mut buffer, capacity, mut contents)) = model.held.remove(at) else { continue };
                    let bytes = vec![u8::try_from(tick % 251).unwrap(); len];
                    let class = class_of(contents.len() + len);
                    let moves = contents.len() + len > capacity;
                    // `held` must contain the old buffer while the model decides: both count.
                    let headroom = model.config.in_use_bytes_max;
                    model.config.in_use_bytes_max = headroom - capacity;
                    let granted = !moves || model.grants(class);
                    model.config.in_use_bytes_max = headroom;
                    prop_assert_eq!(buffer.try_extend(&bytes).is_ok(), granted);
                    if granted {
                        contents.extend_from_slice(&bytes);
                    }
                    let now = if granted && moves { model.came_back(capacity); class } else { capacity };
                    model.held.push_back((buffer, now, contents));
                }
                Step::DrainFront { at, n } => {
                    if let Some((buffer, _, contents)) = model.held.get_mut(at) {
                        buffer.drain_front(n);
                        contents.drain(..n.min(contents.len()));
                    }
                }
                Step::Drop { at } => {
                    if let Some((buffer, capacity, _)) = model.held.remove(at) {
                        drop(buffer);
                        model.came_back(capacity);
                    }
                }
                Step::Trim => {
                    pool.trim();
                    model.free.clear();
                }
            }
            let stats = pool.stats();
            prop_assert_eq!(stats.in_use_bytes, model.in_use_bytes());
            prop_assert_eq!(stats.free_bytes, model.free_bytes());
            for (buffer, _, contents) in &model.held {
                prop_assert_eq!(&**buffer, contents.as_slice());
            }
        }
        model.held.clear();
        prop_assert_eq!(pool.stats().in_use_bytes, 0);
    }
}

fn pool(in_use_bytes_max: usize, free_bytes_max: usize) -> BufferPool {
    BufferPool::new(PoolConfig { in_use_bytes_max, free_bytes_max })
}

fn take(pool: &BufferPool, capacity: usize) -> PoolBuffer {
    pool.try_take(capacity).expect("under the bound")
}
