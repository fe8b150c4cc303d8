//! Programs run by callgrind, and the instructions that it counted.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Stops where nothing can be counted.
pub(crate) fn check() {
    let there = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    assert!(there.is_ok_and(|status| status.success()), "there is no valgrind: tests/servers.sh installs it");
}

/// Callgrind about to run a program, what it has to say going to a file.
fn callgrind(program: impl AsRef<Path>, said: &Path) -> Command {
    let mut command = Command::new("valgrind");
    // A file of its own for what it counted would have it by function, which nobody asks for here.
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--vgdb=no"]);
    command.arg(format!("--log-file={}", said.display())).arg(program.as_ref());
    command.env_clear().stdin(Stdio::null());
    command
}

/// The instructions that callgrind said it counted.
fn told(said: &Path) -> u64 {
    let said = std::fs::read_to_string(said).unwrap();
    let count = said.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim());
    count.unwrap_or_else(|| panic!("callgrind tells no count: {said}")).parse().unwrap()
}

/// The instructions of this program, run with these arguments.
pub(crate) fn counted(arguments: &[&str]) -> u64 {
    let said = tempfile::NamedTempFile::new().unwrap();
    let status = callgrind(std::env::current_exe().unwrap(), said.path()).args(arguments).status().unwrap();
    assert!(status.success(), "{arguments:?}: {status}");
    told(said.path())
}

/// A program that is counted while it runs beside this one.
pub(crate) struct Beside {
    pub(crate) child: Child,
    said: tempfile::NamedTempFile,
}

impl Beside {
    /// Starts it; its standard error is read by the caller.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Self {
        let said = tempfile::NamedTempFile::new().unwrap();
        let mut command = callgrind(program, said.path());
        let child = command.args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        Self { child, said }
    }

    /// Ends it in good order; its instructions.
    pub(crate) fn end(mut self) -> u64 {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        told(self.said.path())
    }
}

impl Drop for Beside {
    /// Nothing is left behind where something went wrong.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
