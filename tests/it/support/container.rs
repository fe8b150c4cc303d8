//! A container: how much memory and processor time a process may have, by the control groups of Linux.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// The time that a share of the processor is for, as container engines have it.
const PERIOD_US: u64 = 100_000;
/// How long a process that was killed may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// Control groups for one process and what it starts; removed when dropped, which has to be after the process has ended.
pub(crate) struct Container {
    groups: Vec<PathBuf>,
}

impl Container {
    /// One with so many bytes of memory, swap included, and this percentage of a processor; `None` where this process may make
    /// none, as in most containers.
    pub(crate) fn new(bytes: u64, percent: u64) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let bytes = bytes.to_string();
        let quota = PERIOD_US * percent / 100;
        let second = Path::new(ROOT).join("cgroup.controllers").exists();
        let groups = if second {
            let quota = format!("{quota} {PERIOD_US}");
            let limits = [("memory.max", bytes.as_str()), ("cpu.max", &quota)];
            vec![make(Path::new(ROOT), path(&own, "")?, &limits)?]
        } else {
            let (quota, period) = (quota.to_string(), PERIOD_US.to_string());
            let memory = [("memory.limit_in_bytes", bytes.as_str())];
            let processor = [("cpu.cfs_period_us", period.as_str()), ("cpu.cfs_quota_us", &quota)];
            let memory = make(&Path::new(ROOT).join("memory"), path(&own, "memory")?, &memory)?;
            let mut container = Self { groups: vec![memory] };
            container.groups.push(make(&Path::new(ROOT).join("cpu"), path(&own, "cpu")?, &processor)?);
            return Some(container);
        };
        Some(Self { groups })
    }

    /// The files that a process writes its number to, to be in it.
    pub(crate) fn doors(&self) -> Vec<PathBuf> {
        self.groups.iter().map(|group| group.join("cgroup.procs")).collect()
    }

    /// The most memory that it took at any time, with what the system itself needs for it; where the system tells that.
    pub(crate) fn peak(&self) -> Option<u64> {
        let read = |file| fs::read_to_string(self.groups[0].join(file)).ok();
        read("memory.peak").or_else(|| read("memory.max_usage_in_bytes"))?.trim().parse().ok()
    }
}

/// The group this process is in, for a controller of the first version of control groups, or with "" in the second.
fn path<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|one| one == controller).then_some(path)
    })
}

/// Makes a group with these limits below the one this process is in, or below what is above that.
fn make(root: &Path, own: &str, limits: &[(&str, &str)]) -> Option<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let own = root.join(own.trim_start_matches('/'));
    own.ancestors().take_while(|folder| folder.starts_with(root)).find_map(|above| {
        // In the second version, what is limited has to be handed down first; in the first there is no such file.
        let _ = fs::OpenOptions::new()
            .write(true)
            .open(above.join("cgroup.subtree_control"))
            .and_then(|mut file| io::Write::write_all(&mut file, b"+memory +cpu"));
        let group = above.join(format!("wayside-test-{}-{number}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let limited = limits.iter().try_for_each(|(file, limit)| {
            fs::OpenOptions::new()
                .write(true)
                .open(group.join(file))
                .and_then(|mut file| io::Write::write_all(&mut file, limit.as_bytes()))
        });
        match limited {
            Ok(()) => Some(group),
            Err(_) => {
                fs::remove_dir(&group).ok();
                None
            }
        }
    })
}

impl Drop for Container {
    fn drop(&mut self) {
        let begun = Instant::now();
        for group in &self.groups {
            // The process may be about to end.
            while fs::remove_dir(group).is_err() && begun.elapsed() < GONE {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
