//! What this process uses right now, from `/proc/self`.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// A reading of the process's use of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time spent, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Memory held in RAM, in bytes.
    pub resident_bytes: u64,
    /// Address space, in bytes.
    pub virtual_bytes: u64,
    /// Open descriptors.
    pub open_descriptors: u64,
    /// Descriptors allowed; `None`: unlimited.
    pub descriptors_max: Option<u64>,
    /// Threads.
    pub threads: u64,
    /// When the process started, in seconds since 1970.
    pub start_seconds: f64,
}

impl Usage {
    /// Reads it now. `None` where `/proc` is not mounted.
    pub fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let mut usage = Self::parse_stat(&stat, clock_ticks_per_second(), page_size() as u64)?;
        usage.start_seconds += boot_seconds()?;
        usage.open_descriptors = open_descriptors()?;
        usage.descriptors_max = getrlimit(Resource::Nofile).current;
        Some(usage)
    }

    /// `start_seconds` counts from boot here. Field numbers are those of proc(5).
    fn parse_stat(stat: &str, ticks_per_second: u64, page_bytes: u64) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold anything, spaces and parentheses included.
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second as f64;
        Some(Self {
            cpu_seconds: seconds(field(14)? + field(15)?),
            threads: field(20)?,
            start_seconds: seconds(field(22)?),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_bytes,
            ..Self::default()
        })
    }
}

fn boot_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Since Linux 6.2 the directory's size is the count; listing a hundred thousand entries takes tens of milliseconds.
fn open_descriptors() -> Option<u64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_program_name_with_spaces_and_parentheses_moves_no_field() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 12 0 1000 4096000 25 18446744073709551615";

        let usage = Usage::parse_stat(stat, 100, 4096).unwrap();

        assert_eq!(usage.cpu_seconds, 2.0);
        assert_eq!(usage.threads, 12);
        assert_eq!(usage.start_seconds, 10.0);
        assert_eq!(usage.virtual_bytes, 4_096_000);
        assert_eq!(usage.resident_bytes, 25 * 4096);
        assert_eq!(Usage::parse_stat("garbage", 100, 4096), None);
    }

    #[test]
    fn this_process_has_memory_threads_descriptors_and_a_start_in_the_past() {
        let usage = Usage::read().unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();

        assert!(usage.resident_bytes > 100_000);
        assert!(usage.threads >= 1);
        assert!(usage.open_descriptors >= 3);
        assert!(usage.start_seconds <= now + 1.0 && usage.start_seconds > now - 86_400.0, "{usage:?}");
    }
}
