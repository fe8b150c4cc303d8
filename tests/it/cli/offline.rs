//! Commands that ask nobody: the manual, completions, the version.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::program::{Program, whole};

#[test]
fn every_command_has_a_page_of_the_manual() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    assert_eq!(whole(&["man", "--dir", dir.to_str().unwrap()], &[]), (0, String::new(), String::new()));
    let (_, help, _) = whole(&["--help"], &[]);
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> =
        commands.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    assert!(commands.contains(&"status") && commands.contains(&"run"), "{help}");
    for command in commands.iter().filter(|command| **command != "help") {
        let is_command = whole(&[command, "--help"], &[]).0 == 0;
        // What wraps onto a second line of the help is no command.
        if is_command {
            let page = std::fs::read_to_string(dir.join(format!("wayside-{command}.1"))).unwrap();
            assert!(page.contains(".TH wayside-") && page.contains("SYNOPSIS"), "{page}");
        }
    }
    let (code, page, _) = whole(&["man"], &[]);
    assert_eq!((code, page), (0, std::fs::read_to_string(dir.join("wayside.1")).unwrap()));
    let (_, page, _) = whole(&["man", "status"], &[]);
    assert!(page.contains("Exit codes: 0 all is well"), "{page}");

    let (code, said, complaint) = whole(&["man", "nothing"], &[]);
    assert_eq!((code, said.as_str()), (2, ""));
    assert!(complaint.contains("no command \"nothing\"") && complaint.contains("status"), "{complaint}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, _, complaint) = whole(&["man", "--dir", file.to_str().unwrap()], &[]);
    assert!(code == 1 && complaint.contains("choose another folder"), "{code}: {complaint}");
}

#[test]
fn shells_are_told_what_can_be_completed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, complaint) = whole(&["completions", shell], &[]);
        assert_eq!((code, complaint.as_str()), (0, ""), "{shell}");
        assert!(script.contains("status") && script.contains("admin"), "{shell}: {script}");
    }
    // bash is on every machine that the tests run on: it reads the script, and completes a command by it.
    let (_, script, _) = whole(&["completions", "bash"], &[]);
    let asked =
        "COMP_WORDS=(wayside sta); COMP_CWORD=1; _wayside wayside sta wayside; echo \"${COMPREPLY[@]}\"";
    let output =
        Command::new("bash").args(["-c", &format!("{script}\n{asked}")]).stderr(Stdio::inherit()).output();
    assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap().trim(), "status");
    let (code, _, complaint) = whole(&["completions", "csh"], &[]);
    assert!(code == 2 && complaint.contains("bash"), "{complaint}");
}

#[test]
fn the_version_says_what_it_was_built_from() {
    let (code, short, _) = whole(&["-V"], &[]);
    assert!(code == 0 && short.starts_with(&format!("wayside {}", env!("CARGO_PKG_VERSION"))), "{short}");
    let (_, long, _) = whole(&["--version"], &[]);
    assert_eq!(whole(&["version"], &[]), (0, long.clone(), String::new()));
    for part in ["rustc     1.", "target    ", "profile   "] {
        assert!(long.contains(part), "{part:?} in {long}");
    }
    let (_, json, _) = whole(&["version", "--json"], &[]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["rustc"].as_str().unwrap().starts_with("rustc "), "{json}");
}

#[tokio::test]
async fn what_register_does_can_be_read_by_programs() {
    let folder = tempfile::tempdir().unwrap();
    let registry = format!("file:{}", folder.path().display());
    let arguments = ["--registry", &registry, "--service", "greeter", "--address", "127.0.0.1:1", "--json"];
    let register = Program::launch(&[&["register"], &arguments[..]].concat(), &[]);
    let line = register.logs("to be announced once it is well").await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["fields"]["service"].as_str().or(line["service"].as_str()), Some("greeter"), "{line}");
}
