//! Memory and CPU that the cgroup of this process grants (versions 1 and 2).
//!
//! A limit may be set on any group above the process; the smallest one holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Memory limits above this mean "none" in version 1, which has no word for it.
pub(super) const UNLIMITED_BYTES_MIN: u64 = 1 << 60;

/// What the cgroup grants. `None`: it sets no limit, or there is no cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cgroup {
    /// Memory in bytes; above it the kernel kills the process.
    pub memory_bytes: Option<u64>,
    /// CPU in cores, such as 0.5.
    pub cpus: Option<f64>,
}

impl Cgroup {
    /// What this process is granted.
    pub fn of_this_process() -> Self {
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::read(Path::new("/sys/fs/cgroup"), &membership)
    }

    /// `membership` is the content of `/proc/self/cgroup`: lines of `id:controllers:path`, controllers empty in version 2.
    fn read(mount: &Path, membership: &str) -> Self {
        let mut granted = Self::default();
        for line in membership.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            let has = |name| controllers.split(',').any(|controller| controller == name);
            if controllers.is_empty() {
                for group in groups(mount, path) {
                    granted.limit_memory(number(&group.join("memory.max")));
                    granted.limit_cpus(quota_v2(&group));
                }
            }
            if has("memory") {
                for group in groups(&mount.join("memory"), path) {
                    let limit = number(&group.join("memory.limit_in_bytes"));
                    granted.limit_memory(limit.filter(|bytes| *bytes < UNLIMITED_BYTES_MIN));
                }
            }
            if has("cpu") {
                for group in groups(&mount.join("cpu"), path) {
                    granted.limit_cpus(quota_v1(&group));
                }
            }
        }
        granted
    }

    fn limit_memory(&mut self, bytes: Option<u64>) {
        self.memory_bytes = self.memory_bytes.into_iter().chain(bytes).min();
    }

    fn limit_cpus(&mut self, cpus: Option<f64>) {
        self.cpus = self.cpus.into_iter().chain(cpus).min_by(f64::total_cmp);
    }
}

/// The group of the process and all groups above it. In a container the path may be the host's, which is not mounted;
/// then the mount itself is the process's group.
pub(super) fn groups(mount: &Path, path: &str) -> Vec<PathBuf> {
    let own = mount.join(path.trim_start_matches('/'));
    own.ancestors().take_while(|group| group.starts_with(mount)).map(Path::to_path_buf).collect()
}

/// `50000 100000` or `max 100000`: microseconds of CPU in each period of so many.
fn quota_v2(group: &Path) -> Option<f64> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    cores(quota.parse().ok()?, period.parse().ok()?)
}

fn quota_v1(group: &Path) -> Option<f64> {
    // A quota of -1 is none, and is no u32.
    cores(number(&group.join("cpu.cfs_quota_us"))?, number(&group.join("cpu.cfs_period_us"))?)
}

fn cores(quota_us: u32, period_us: u32) -> Option<f64> {
    (period_us > 0).then(|| f64::from(quota_us) / f64::from(period_us))
}

pub(super) fn number<T: FromStr>(file: &Path) -> Option<T> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
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
    fn version_2_takes_the_smallest_limit_on_the_way_up() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "kubepods/memory.max", "1073741824\n");
        write(root.path(), "kubepods/cpu.max", "400000 100000\n");
        write(root.path(), "kubepods/pod/memory.max", "max\n");
        write(root.path(), "kubepods/pod/cpu.max", "50000 100000\n");

        let granted = Cgroup::read(root.path(), "0::/kubepods/pod\n");

        assert_eq!(granted, Cgroup { memory_bytes: Some(1 << 30), cpus: Some(0.5) });
    }

    #[test]
    fn version_1_reads_each_controller_from_its_own_tree() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "memory/pod/memory.limit_in_bytes", "536870912\n");
        write(root.path(), "memory/memory.limit_in_bytes", "9223372036854771712\n");
        write(root.path(), "cpu/pod/cpu.cfs_quota_us", "150000\n");
        write(root.path(), "cpu/pod/cpu.cfs_period_us", "100000\n");
        write(root.path(), "cpu/cpu.cfs_quota_us", "-1\n");
        write(root.path(), "cpu/cpu.cfs_period_us", "100000\n");

        let granted = Cgroup::read(root.path(), "4:memory:/pod\n3:cpu,cpuacct:/pod\n");

        assert_eq!(granted, Cgroup { memory_bytes: Some(512 << 20), cpus: Some(1.5) });
    }

    #[test]
    fn a_path_of_the_host_falls_back_to_the_mount() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "memory.max", "2048\n");

        let granted = Cgroup::read(root.path(), "0::/not/mounted/here\n");

        assert_eq!(granted, Cgroup { memory_bytes: Some(2048), cpus: None });
    }

    #[test]
    fn without_limits_or_cgroup_nothing_is_claimed() {
        let root = tempfile::tempdir().unwrap();

        assert_eq!(Cgroup::read(root.path(), "0::/\nnonsense\n"), Cgroup::default());
        assert_eq!(Cgroup::read(Path::new("/does/not/exist"), ""), Cgroup::default());
    }
}
