//! Notes what the program is built from, so that it can tell: the commit, the compiler, the target.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Digits of a commit's number that are told: enough for any repository of this size.
const COMMIT_DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["WAYSIDE_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let told = |name: &str| env::var(name).unwrap_or_default();
    let note = |name: &str, value: &str| println!("cargo::rustc-env=WAYSIDE_BUILD_{name}={value}");
    note("COMMIT", &commit().unwrap_or_default());
    note("RUSTC", &said(Command::new(told("RUSTC")).arg("--version")).unwrap_or_default());
    note("TARGET", &told("TARGET"));
    note("PROFILE", &told("PROFILE"));
    note("FEATURES", &features());
    // The time of the build is told only where it is laid down: whoever builds the same again gets the same.
    note("EPOCH", &told("SOURCE_DATE_EPOCH"));
}

/// The commit: as the environment says it, else as cargo packed it, else as git knows it.
fn commit() -> Option<String> {
    env::var("WAYSIDE_COMMIT").ok().filter(|commit| !commit.is_empty()).or_else(packed).or_else(of_git)
}

/// The commit of which cargo made a package.
fn packed() -> Option<String> {
    let note = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = note.split_once("\"sha1\"")?;
    let commit = rest.split('"').nth(1)?.get(..COMMIT_DIGITS)?;
    Some(marked(commit, note.contains("\"dirty\": true")))
}

/// The commit that is checked out. Of builds for use only: every commit would have all compiled anew.
fn of_git() -> Option<String> {
    if env::var("PROFILE").as_deref() != Ok("release") {
        return None;
    }
    let git = |arguments: &[&str]| said(Command::new("git").args(arguments));
    // What lies within another repository, such as vendored sources, is not of its commit.
    let within = git(&["rev-parse", "--show-prefix"])?;
    let commit = git(&["rev-parse", "HEAD"]).filter(|_| within.is_empty())?;
    let built = ["src", "config", "build.rs", "Cargo.toml", "Cargo.lock"];
    // This file is written to with every commit and every checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    for path in built.iter().copied().chain(log.as_deref()).filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
    let same = Command::new("git").args(["diff", "--quiet", "HEAD", "--"]).args(built).status();
    Some(marked(commit.get(..COMMIT_DIGITS)?, !same.is_ok_and(|status| status.success())))
}

/// A commit's number, marked where what is built is not what was committed.
fn marked(commit: &str, is_changed: bool) -> String {
    format!("{commit}{}", if is_changed { "-dirty" } else { "" })
}

/// The features that are built in, by name.
fn features() -> String {
    let name =
        |variable: String| Some(variable.strip_prefix("CARGO_FEATURE_")?.to_lowercase().replace('_', "-"));
    let mut names: Vec<String> = env::vars().filter_map(|(variable, _)| name(variable)).collect();
    names.retain(|name| name != "default");
    names.sort();
    names.join(",")
}

/// What a command says in one line, if it ends well.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
