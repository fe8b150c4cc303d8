//! Pages of documentation: their blocks, and a shell of their own to run them in.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{consul, program};

/// Where Debian's package has the scripts of ZooKeeper.
const ZOOKEEPER: &str = "/usr/share/zookeeper/bin";
/// What a page begins with that builds on others, which it links to in that paragraph.
const BEFORE: &str = "\nBefore this: ";
/// How long the commands of a page may take, in seconds.
const LIMIT: &str = "300";
/// Blocks of the README that would build the program or run this test, and what is run in their place.
const STAND_INS: [(&str, &str); 2] = [
    (
        "cargo run --release -- demo\n",
        "wayside demo >demo.log 2>&1 &\ndemo=$!\nwayside health --ready --wait 30s\n",
    ),
    ("tests/run\n", "kill \"$demo\"\nwait \"$demo\"\n"),
];

/// A file of Markdown.
pub(crate) struct Page {
    /// From the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// What stands between two fences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// What stands behind the first fence.
    pub(crate) info: String,
    pub(crate) text: String,
}

/// What came of a page's commands.
pub(crate) struct Run {
    /// The output of each block, in order; one that was not reached has none.
    outputs: Vec<String>,
    /// How many of these are of pages before.
    before: usize,
    success: bool,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Page {
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(root().join(path));
        Self {
            path: path.to_owned(),
            text: text.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        }
    }

    /// The README and everything in `docs/`, in order.
    pub(crate) fn all() -> Vec<Self> {
        let (mut paths, mut folders) = (vec![PathBuf::from("README.md")], vec![PathBuf::from("docs")]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root().join(&folder)).unwrap() {
                let path = folder.join(entry.unwrap().file_name());
                if root().join(&path).is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    paths.push(path);
                }
            }
        }
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(info), None) => open = Some(Block { info: info.to_owned(), text: String::new() }),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block has no end", self.path.display());
        blocks
    }

    /// Where its links lead, as they are written.
    pub(crate) fn links(&self) -> Vec<&str> {
        links(&self.text)
    }

    /// The path of a file that it links to.
    pub(crate) fn leads_to(&self, link: &str) -> PathBuf {
        let mut path = self.path.parent().expect("a file is in a folder").to_owned();
        for part in Path::new(link) {
            if part == ".." { assert!(path.pop(), "{link} leads out") } else { path.push(part) }
        }
        path
    }

    /// The pages whose commands come before its own, each once.
    fn before(&self) -> Vec<Self> {
        let Some((_, rest)) = self.text.split_once(BEFORE) else { return Vec::new() };
        let paragraph = rest.split("\n\n").next().unwrap_or_default();
        let mut pages: Vec<Self> = Vec::new();
        for link in links(paragraph) {
            let page = Self::read(&self.leads_to(link));
            for page in page.before().into_iter().chain([page]) {
                if pages.iter().all(|known| known.path != page.path) {
                    pages.push(page);
                }
            }
        }
        pages
    }

    /// Runs its commands, and those of the pages before, in one shell, an empty folder, and a network of its own.
    pub(crate) fn run(&self) -> Run {
        let (work, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let before = self.before();
        let all = || before.iter().chain([self]);
        furnish(bin.path(), all().any(|page| page.path.ends_with("bench/consul.md")));
        let commands = |page: &Self| page.blocks().into_iter().filter(|block| block.info == "sh");
        let blocks: Vec<Block> = all().flat_map(commands).collect();
        let mut script = "ip link set lo up\n".to_owned();
        for (number, Block { text, .. }) in blocks.iter().enumerate() {
            let stand_in = STAND_INS.iter().find(|(block, _)| block == text);
            let text = stand_in.map_or(text.as_str(), |(_, stand_in)| stand_in);
            writeln!(script, "exec >'{}/{number}' 2>&1\n{text}", bin.path().display()).unwrap();
        }
        fs::write(bin.path().join("script"), script).unwrap();
        let status = alone(&["sh", "-eu"])
            .arg(bin.path().join("script"))
            .current_dir(work.path())
            .env_clear()
            .env("PATH", format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap()))
            .env("HOME", work.path())
            .stdin(Stdio::null())
            .status();
        let status =
            status.unwrap_or_else(|error| panic!("cannot run unshare: {error}; run tests/servers.sh"));
        let output = |number: usize| fs::read(bin.path().join(number.to_string())).unwrap_or_default();
        let output = |number| String::from_utf8_lossy(&output(number)).into_owned();
        Run {
            outputs: (0..blocks.len()).map(output).collect(),
            before: before.iter().flat_map(commands).count(),
            success: status.success(),
        }
    }

    /// Runs its commands; tells what failed, and what it shows that was not answered.
    pub(crate) fn faults(&self) -> Vec<String> {
        let (run, mut faults) = (self.run(), Vec::new());
        let path = self.path.display();
        if !run.success {
            let last = run.outputs.iter().rev().find(|output| !output.is_empty());
            faults.push(format!(
                "{path}: a command failed, or all took more than {LIMIT} s:\n{}",
                end_of(last)
            ));
        }
        let mut next = run.before;
        let mut output: Option<&String> = None;
        for block in self.blocks() {
            let shown = ["text", "console"].contains(&block.info.as_str());
            for line in block.text.lines().filter(|line| shown && output.is_some_and(|it| !shows(it, line))) {
                faults.push(format!("{path}: not answered: {line}\n{}", end_of(output)));
            }
            output = None;
            if block.info == "sh" {
                output = run.outputs.get(next);
                next += 1;
            }
        }
        faults
    }
}

/// A command in a network of its own, whose loopback is down, for as long as a page may take. Whatever it leaves running ends with it.
pub(crate) fn alone(command: &[&str]) -> Command {
    let mut alone = Command::new("timeout");
    alone.args([
        "--kill-after=5",
        LIMIT,
        "unshare",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--map-root-user",
    ]);
    alone.args(command);
    alone
}

/// Whether an output has a line with all the pieces of this one in order, `…` standing for anything.
fn shows(output: &str, line: &str) -> bool {
    let has_all = |mut text: &str| {
        line.split('…').map(str::trim).all(|piece| match text.split_once(piece) {
            Some((_, rest)) => {
                text = rest;
                true
            }
            None => false,
        })
    };
    output.lines().any(has_all)
}

fn end_of(output: Option<&String>) -> String {
    let lines: Vec<&str> = output.map(|output| output.lines().collect()).unwrap_or_default();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link).collect()
}

/// Puts into a folder what pages take to be in the path.
fn furnish(bin: &Path, with_consul: bool) {
    symlink(program::binary(), bin.join("wayside")).unwrap();
    for script in ["zkServer.sh", "zkCli.sh"] {
        // They look for others beside themselves, so that a link would not do.
        let path = bin.join(script);
        fs::write(&path, format!("#!/bin/sh\nexec {ZOOKEEPER}/{script} \"$@\"\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    if with_consul {
        symlink(consul::program(), bin.join("consul")).unwrap();
    }
}
