//! What the command line says, and with which code it ends.

use std::path::Path;

use clap::CommandFactory as _;

use super::flags::Flags;
use super::*;
use crate::config::{Given, Overrides};

/// The help of a command, as wide as it ever gets.
fn help(of: &[&str]) -> String {
    let mut command = Arguments::command().term_width(100);
    command.build();
    let mut command = &mut command;
    for name in of {
        command = command.find_subcommand_mut(name).unwrap();
    }
    command.render_long_help().to_string()
}

#[test]
fn help_says_what_there_is() {
    insta::assert_snapshot!("help", help(&[]));
    insta::assert_snapshot!("help-run", help(&["run"]));
    insta::assert_snapshot!("help-check", help(&["check"]));
    insta::assert_snapshot!("help-config-show", help(&["config", "show"]));
    insta::assert_snapshot!("help-demo", help(&["demo"]));
    insta::assert_snapshot!("help-health", help(&["health"]));
}

fn code(arguments: &[&str]) -> String {
    let arguments = std::iter::once("wayside").chain(arguments.iter().copied()).map(OsString::from);
    format!("{:?}", start_with(arguments, &|_| None))
}

fn exit(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

#[test]
fn exit_codes_tell_good_wrong_and_unreadable_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = file("good.toml", "[registry]\nurl = \"zookeeper://127.0.0.1:2181\"\n");
    let wrong = file("wrong.toml", "workrs = 1\n");
    assert_eq!(code(&["check", &good]), exit(0));
    assert_eq!(code(&["check", "--show", &good]), exit(0));
    assert_eq!(code(&["check", &wrong]), exit(FAILED));
    assert_eq!(code(&["check", &folder.path().join("none.toml").display().to_string()]), exit(USAGE));
    assert_eq!(code(&["check"]), exit(USAGE));
    assert_eq!(code(&["chekc", &good]), exit(USAGE));
    assert_eq!(code(&["run"]), exit(USAGE));
    assert_eq!(code(&["run", "--config", &wrong]), exit(FAILED));
    assert_eq!(code(&["run", "--registry", "zookeper://127.0.0.1"]), exit(FAILED));
    assert_eq!(code(&["run", "--workers"]), exit(USAGE));
    assert_eq!(code(&["--version"]), exit(0));
    assert_eq!(code(&["check", "--help"]), exit(0));
}

#[test]
fn flags_win_over_the_environment() {
    #[derive(Debug, clap::Parser)]
    struct Only {
        #[command(flatten)]
        flags: Flags,
    }
    let environment = |name: &str| {
        let value = match name {
            "WAYSIDE_CONFIG" => "w.toml",
            "WAYSIDE_LISTEN" => "127.0.0.1:1, 127.0.0.1:2",
            "WAYSIDE_WORKERS" => "3",
            "WAYSIDE_REGISTRY_AUTH" => "user:password",
            "WAYSIDE_REGISTRY_AUTH_2" => "other:password",
            "STATE_DIRECTORY" => "/var/lib/wayside",
            "WAYSIDE_POLICY" => "",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let given = |origin, text: &str| Given { origin, text: text.to_owned() };
    let bare = Only::parse_from(["wayside"]).flags;
    assert_eq!(bare.file(&environment).as_deref(), Some(Path::new("w.toml")));
    assert_eq!(
        bare.overrides(&environment),
        Overrides {
            registry_auth: vec![
                (0, given("WAYSIDE_REGISTRY_AUTH", "user:password")),
                (1, given("WAYSIDE_REGISTRY_AUTH_2", "other:password")),
            ],
            state_directory: Some(given("STATE_DIRECTORY", "/var/lib/wayside")),
            listen: vec![given("WAYSIDE_LISTEN", "127.0.0.1:1"), given("WAYSIDE_LISTEN", "127.0.0.1:2")],
            workers: Some(given("WAYSIDE_WORKERS", "3")),
            ..Overrides::default()
        }
    );
    let flags = ["wayside", "--config", "x.toml", "--workers", "4", "--listen", "a", "--listen", "b"];
    let flags = [&flags[..], &["--registry", "file:a", "--registry", "file:b"]].concat();
    let flags = Only::parse_from(flags).flags;
    assert_eq!(flags.file(&environment).as_deref(), Some(Path::new("x.toml")));
    let overrides = flags.overrides(&environment);
    assert_eq!(overrides.workers, Some(given("--workers", "4")));
    assert_eq!(overrides.listen, [given("--listen", "a"), given("--listen", "b")]);
    assert_eq!(overrides.registries, [given("--registry", "file:a"), given("--registry", "file:b")]);
}
