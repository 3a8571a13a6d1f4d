//! The buffer pool under an allocator that counts.

use allocation_counter::measure;

use tidegate_wire::pool::{BufferPool, PoolBuffer, PoolConfig};

const KIB: usize = 1024;

#[test]
fn a_pool_allocates_on_its_first_round_and_never_again() {
    let pool =
        BufferPool::new(PoolConfig { in_use_bytes_max: 64 * KIB * KIB, free_bytes_max: 64 * KIB * KIB });
    let mut held = Vec::with_capacity(100);
    let cold = measure(|| round(&pool, &mut held));
    assert!(cold.count_total > 0, "the counter counts");

    let warm = measure(|| (0..10).for_each(|_| round(&pool, &mut held)));

    assert_eq!(warm.count_total, 0);
    let stats = pool.stats();
    assert_eq!((stats.in_use_bytes, stats.refused_total), (0, 0));
}

#[test]
fn a_pool_that_may_keep_nothing_leaves_no_memory_behind() {
    let pool = BufferPool::new(PoolConfig { in_use_bytes_max: 64 * KIB * KIB, free_bytes_max: 0 });
    let mut held = Vec::with_capacity(100);
    let info = measure(|| round(&pool, &mut held));
    assert!(info.bytes_max > 1000 * 1000);
    assert_eq!(info.bytes_current, 0);
}

#[test]
fn trim_gives_back_all_that_a_burst_left() {
    let pool =
        BufferPool::new(PoolConfig { in_use_bytes_max: 64 * KIB * KIB, free_bytes_max: 64 * KIB * KIB });
    let mut held = Vec::with_capacity(100);
    let info = measure(|| {
        round(&pool, &mut held);
        assert!(pool.stats().free_bytes > 1000 * 1000);
        pool.trim();
    });
    assert_eq!(info.bytes_current, 0);
}

/// Many buffers at once, of which each fourth grows through the classes up to 256 KiB.
fn round(pool: &BufferPool, held: &mut Vec<PoolBuffer>) {
    for n in 0..100_usize {
        let mut buffer = pool.try_take(n * 10).expect("under the bound");
        if n % 4 == 0 {
            for _ in 0..n * 2 {
                buffer.try_extend(&[0; KIB]).expect("under the bound");
            }
        }
        held.push(buffer);
    }
    held.clear();
}
