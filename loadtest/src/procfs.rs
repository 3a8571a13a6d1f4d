//! CPU time and memory of the server under test, read from `/proc/PID`.
//!
//! Place in the data path: none; a scenario takes one snapshot before and one after what it measures.
//! CPU time is the sum over threads of `schedstat`'s nanoseconds, because the clock ticks of `stat` (10 ms) are half a percent
//! of a two second run; `stat` gives the split in user and system time, and the total where a thread ended in between.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use crate::failure::Failure;

/// One reading of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    thread_cpu_ns: BTreeMap<u32, u64>,
    ticks: Ticks,
    pub(crate) memory: Memory,
}

/// `utime` and `stime` of `/proc/PID/stat`, in clock ticks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Ticks {
    user: u64,
    system: u64,
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Memory {
    /// `VmRSS`: everything resident, shared pages of libraries too.
    pub(crate) resident_bytes: u64,
    /// `Private_Clean` + `Private_Dirty`: what would come free if the process ended.
    pub(crate) private_bytes: u64,
}

/// CPU time used between two snapshots, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct CpuUse {
    /// User and system together, exact to the nanosecond unless a thread of the server ended in between.
    pub(crate) seconds: f64,
    /// User part, exact to a clock tick (usually 10 ms).
    pub(crate) user_seconds: f64,
    /// System part, exact to a clock tick.
    pub(crate) system_seconds: f64,
}

impl Snapshot {
    /// Reads the process `pid`.
    pub(crate) fn read(pid: u32) -> Result<Self, Failure> {
        let stat = read_file(pid, "stat")?;
        let status = read_file(pid, "status")?;
        let rollup = read_file(pid, "smaps_rollup")?;
        let field = |file: &str, field| Failure::ProcfsField { path: path_of(pid, file), field };
        Ok(Self {
            thread_cpu_ns: thread_cpu(pid)?,
            ticks: parse_stat(&stat).ok_or_else(|| field("stat", "utime and stime"))?,
            memory: Memory {
                resident_bytes: parse_kib(&status, "VmRSS:").ok_or_else(|| field("status", "VmRSS"))?,
                private_bytes: parse_private(&rollup)
                    .ok_or_else(|| field("smaps_rollup", "Private_Clean and Private_Dirty"))?,
            },
        })
    }

    /// CPU time used from `before` until this snapshot.
    pub(crate) fn cpu_since(&self, before: &Self) -> CpuUse {
        let user = self.ticks.user.saturating_sub(before.ticks.user);
        let system = self.ticks.system.saturating_sub(before.ticks.system);
        let seconds = match self.thread_ns_since(before) {
            Some(nanoseconds) => nanoseconds_to_seconds(nanoseconds),
            None => ticks_to_seconds(user + system),
        };
        CpuUse { seconds, user_seconds: ticks_to_seconds(user), system_seconds: ticks_to_seconds(system) }
    }

    /// `None` if a thread has ended and taken its count along.
    fn thread_ns_since(&self, before: &Self) -> Option<u64> {
        if before.thread_cpu_ns.keys().any(|thread| !self.thread_cpu_ns.contains_key(thread)) {
            return None;
        }
        let used = |(thread, after): (&u32, &u64)| {
            after.saturating_sub(before.thread_cpu_ns.get(thread).copied().unwrap_or(0))
        };
        Some(self.thread_cpu_ns.iter().map(used).sum())
    }
}

/// `VmRSS` of the process `pid` now: cheap for it, unlike a [`Snapshot`], which walks its pages.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    let field = Failure::ProcfsField { path: path_of(pid, "status"), field: "VmRSS" };
    parse_kib(&read_file(pid, "status")?, "VmRSS:").ok_or(field)
}

fn path_of(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

fn read_file(pid: u32, file: &str) -> Result<String, Failure> {
    let path = path_of(pid, file);
    fs::read_to_string(&path).map_err(|source| Failure::Procfs { path, source })
}

fn thread_cpu(pid: u32) -> Result<BTreeMap<u32, u64>, Failure> {
    let directory = path_of(pid, "task");
    let failed = |source| Failure::Procfs { path: directory.clone(), source };
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match fs::read_to_string(entry.path().join("schedstat")) {
            Ok(text) => {
                if let Some(nanoseconds) = parse_schedstat(&text) {
                    threads.insert(thread, nanoseconds);
                }
            }
            // The thread ended between the listing and the read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(source)),
        }
    }
    Ok(threads)
}

/// The command name is in parentheses and may hold spaces and parentheses itself: fields are counted from the last one.
fn parse_stat(text: &str) -> Option<Ticks> {
    let (_, after_name) = text.rsplit_once(')')?;
    // Field 3 (state) comes first here; utime is field 14, stime 15.
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    Some(Ticks { user: fields.next()?.parse().ok()?, system: fields.next()?.parse().ok()? })
}

/// First number: nanoseconds on a CPU.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn parse_private(rollup: &str) -> Option<u64> {
    Some(parse_kib(rollup, "Private_Clean:")? + parse_kib(rollup, "Private_Dirty:")?)
}

/// The value of a line like `VmRSS:      1234 kB`, in bytes.
fn parse_kib(text: &str, label: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(label))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "CPU time of a run is far below 2^53 nanoseconds")]
fn nanoseconds_to_seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "CPU time of a run is far below 2^53 ticks")]
fn ticks_to_seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_name_with_spaces_and_parentheses() {
        let text = "4242 (a b) c) S 1 2 3 4 5 6 7 8 9 10 1234 567 0 0 20 0 3 0 99 1 2";
        assert_eq!(parse_stat(text), Some(Ticks { user: 1234, system: 567 }));
        assert_eq!(parse_stat("4242 (short) S 1 2"), None);
    }

    #[test]
    fn memory_lines_are_kibibytes() {
        let text = "Rss:  100 kB\nPrivate_Clean:   8 kB\nPrivate_Dirty:  92 kB\n";
        assert_eq!(parse_private(text), Some(100 * 1024));
        assert_eq!(parse_kib(text, "Pss:"), None);
    }

    #[test]
    fn nanoseconds_of_threads_are_summed_and_new_threads_count_from_zero() {
        let before = snapshot(&[(1, 1_000_000_000), (2, 500)], 10);
        let after = snapshot(&[(1, 2_500_000_000), (2, 500), (3, 250_000_000)], 185);
        assert!((after.cpu_since(&before).seconds - 1.75).abs() < 1e-9);
    }

    #[test]
    fn a_thread_that_ended_falls_back_to_clock_ticks() {
        let before = snapshot(&[(1, 1_000), (2, 500)], 10);
        let after = snapshot(&[(1, 2_000)], 210);
        let seconds = 200.0 / rustix::param::clock_ticks_per_second() as f64;
        assert!((after.cpu_since(&before).seconds - seconds).abs() < 1e-9);
    }

    #[test]
    fn the_own_process_can_be_read_and_its_work_is_seen() {
        let before = Snapshot::read(std::process::id()).unwrap();
        let mut sum = 0_u64;
        for value in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(value * value));
        }
        let after = Snapshot::read(std::process::id()).unwrap();

        assert!(after.cpu_since(&before).seconds > 0.0);
        assert!(after.memory.resident_bytes > 0 && after.memory.private_bytes > 0);
    }

    #[test]
    fn a_process_that_does_not_exist_is_named_in_the_error() {
        let error = Snapshot::read(u32::MAX).unwrap_err().to_string();
        assert!(error.contains("/proc/4294967295/stat"), "{error}");
    }

    fn snapshot(threads: &[(u32, u64)], user_ticks: u64) -> Snapshot {
        Snapshot {
            thread_cpu_ns: threads.iter().copied().collect(),
            ticks: Ticks { user: user_ticks, system: 0 },
            memory: Memory::default(),
        }
    }
}
