//! The access log of a process: text and JSON, in a file and on standard output.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::patience::{PATIENCE, eventually};
use crate::support::program::{Program, get};
use crate::support::provider::Echo;

/// A program with one service and this access log, whose configuration is in this folder.
async fn logging(folder: &Path, echo: &Echo, settings: &str) -> Program {
    let file = folder.join("wayside.toml");
    let text = format!(
        "[registry]\nurl = \"fixed:greeter={}\"\n[access_log]\nenabled = true\n{settings}\n",
        echo.address()
    );
    fs::write(&file, text).unwrap();
    Program::run(&["--config", file.to_str().unwrap()]).await
}

fn check_json(line: &str, echo: &Echo) {
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["method"], &line["target"]), (&"GET".into(), &"/greeter/a?b=c".into()));
    assert_eq!((&line["service"], &line["status"]), (&"greeter".into(), &200.into()));
    assert_eq!(line["endpoint"], echo.address().to_string());
    assert_eq!(line["attempts"], 1);
}

#[tokio::test]
async fn lines_go_to_standard_output() {
    let echo = Echo::start().await;
    let folder = tempfile::tempdir().unwrap();
    let program = logging(folder.path(), &echo, "format = \"json\"").await;
    get(program.listeners()[0], "/greeter/a?b=c").await;
    check_json(&program.says("/greeter/a?b=c").await, &echo);
    assert!(!program.log().contains("/greeter/a"), "the log is apart");
    assert_eq!(program.output().lines().count(), 1, "the output holds nothing else");
}

#[tokio::test]
async fn lines_go_to_a_file() {
    let echo = Echo::start().await;
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let settings = format!("format = \"{format}\"\npath = \"{}\"", path.display());
        let mut program = logging(folder.path(), &echo, &settings).await;
        get(program.listeners()[0], "/greeter/a?b=c").await;
        let written = || fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'));
        let text = eventually(PATIENCE, "a line in the file", written).await;
        assert_eq!(text.lines().count(), 1, "{text}");
        if format == "json" {
            check_json(text.trim(), &echo);
        } else {
            for part in ["GET", "/greeter/a?b=c", "200", &echo.address().to_string()] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
        // What was answered last is written before the process is gone.
        get(program.listeners()[0], "/greeter/last").await;
        program.signal("TERM");
        assert_eq!(program.ended().await.code(), Some(0));
        assert!(written().unwrap().contains("/greeter/last"));
        assert_eq!(program.output(), "");
    }
}
