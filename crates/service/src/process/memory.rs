//! How much of the memory that a cgroup grants is used up (versions 1 and 2).
//!
//! Looked at a few times a second, so that a process can turn work away before the kernel kills it.

use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup::{UNLIMITED_BYTES_MIN, groups, number};

/// The group whose limit is the smallest one above this process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemoryMeter {
    limit_bytes: u64,
    /// File with everything the kernel counts for the group.
    usage: PathBuf,
    /// File with what that consists of, and the word in it for files that the kernel may drop at any time.
    statistics: (PathBuf, &'static str),
}

impl MemoryMeter {
    /// The group that would have this process killed; `None`: no group has a limit.
    pub fn of_this_process() -> Option<Self> {
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::read(Path::new("/sys/fs/cgroup"), &membership)
    }

    fn read(mount: &Path, membership: &str) -> Option<Self> {
        let mut meters = Vec::new();
        for line in membership.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            if controllers.is_empty() {
                meters.extend(groups(mount, path).iter().filter_map(|group| Self::version_2(group)));
            }
            if controllers.split(',').any(|controller| controller == "memory") {
                let mount = mount.join("memory");
                meters.extend(groups(&mount, path).iter().filter_map(|group| Self::version_1(group)));
            }
        }
        meters.into_iter().min_by_key(|meter| meter.limit_bytes)
    }

    fn version_2(group: &Path) -> Option<Self> {
        Some(Self {
            limit_bytes: number(&group.join("memory.max"))?,
            usage: group.join("memory.current"),
            statistics: (group.join("memory.stat"), "inactive_file"),
        })
    }

    fn version_1(group: &Path) -> Option<Self> {
        let limit = number(&group.join("memory.limit_in_bytes"));
        Some(Self {
            limit_bytes: limit.filter(|bytes| *bytes < UNLIMITED_BYTES_MIN)?,
            usage: group.join("memory.usage_in_bytes"),
            statistics: (group.join("memory.stat"), "total_inactive_file"),
        })
    }

    /// The limit of the group.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// What the group uses and the kernel cannot take back: the same number as Kubernetes' working set.
    pub fn used_bytes(&self) -> Option<u64> {
        let usage: u64 = number(&self.usage)?;
        let (statistics, word) = &self.statistics;
        let statistics = fs::read_to_string(statistics).unwrap_or_default();
        let droppable = statistics.lines().find_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            if name == *word { bytes.trim().parse::<u64>().ok() } else { None }
        });
        Some(usage.saturating_sub(droppable.unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_group_with_the_smallest_limit_is_measured_without_what_the_kernel_may_drop() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "pods/memory.max", "1000\n");
        write(root.path(), "pods/memory.current", "900\n");
        write(root.path(), "pods/memory.stat", "anon 500\ninactive_file 300\nactive_file 100\n");
        write(root.path(), "pods/one/memory.max", "max\n");
        write(root.path(), "pods/one/memory.current", "1\n");

        let meter = MemoryMeter::read(root.path(), "0::/pods/one\n").unwrap();

        assert_eq!((meter.limit_bytes(), meter.used_bytes()), (1000, Some(600)));
        write(root.path(), "pods/memory.current", "950\n");
        assert_eq!(meter.used_bytes(), Some(650), "it is read anew each time");
    }

    #[test]
    fn version_1_has_its_own_files() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "memory/pod/memory.limit_in_bytes", "4096\n");
        write(root.path(), "memory/pod/memory.usage_in_bytes", "2048\n");
        write(root.path(), "memory/pod/memory.stat", "inactive_file 1\ntotal_inactive_file 48\n");
        write(root.path(), "memory/memory.limit_in_bytes", "9223372036854771712\n");

        let meter = MemoryMeter::read(root.path(), "4:memory:/pod\n").unwrap();

        assert_eq!((meter.limit_bytes(), meter.used_bytes()), (4096, Some(2000)));
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_measure() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "memory.max", "max\n");

        assert_eq!(MemoryMeter::read(root.path(), "0::/\n"), None);
    }
}
