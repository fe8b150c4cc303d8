//! Records of a registry that say what they should not: nothing they hold is taken for anything but text.

use std::fs;
use std::path::Path;

use crate::support::patience::at_last;
use crate::support::program::{Program, get, text};
use crate::support::provider::Echo;

/// Providers whose ids, versions and metadata hold what a terminal, a log, a page, a path and a header take for more than text.
fn records(echo: &Echo, other: &Echo) -> String {
    let (one, two) = (echo.address(), other.address());
    format!(
        r#"
[services]
"a<b>" = [
  {{ address = "{one}", id = "<script>alert(1)</script>\u001b[31m\n2026-01-01T00:00:00Z ERROR forged: line", version = "\u001b]0;x\u0007", zone = "\u202ez", metadata = {{ "x\r\ny" = "\u0000\u009b31m\"}} 1\n# HELP forged x" }} }},
  {{ address = "../../etc/passwd\n2026-01-01T00:00:00Z ERROR forged: line" }},
  {{ address = "\u001b[2J:80", id = "../../up" }},
  {{ address = "169.254.169.254:80", id = "\u001b[31m\nforged: line" }},
]
svc = [{{ address = "{two}", id = "../../../etc/cron.d/x\r\nx-forged: 1" }}]
"../up" = ["{one}"]
"#
    )
}

/// Everything that is written below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn odd_records_are_text_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (echo, other) = (Echo::start().await, Echo::start().await);
    let (file, config) = (folder.path().join("providers.toml"), folder.path().join("wayside.toml"));
    fs::write(&file, records(&echo, &other)).unwrap();
    let within = folder.path().join("deep/within/store");
    fs::write(
        &config,
        format!(
            "[registry]\nurl = \"file:{}\"\n[store]\nfolder = \"{}\"\n[access_log]\nenabled = true\n[log]\nlevel = \"debug\"\n\
             [[service]]\nname = \"svc\"\n[service.response_headers]\nset = {{ x-by = \"{{provider}}\" }}\n",
            file.display(),
            within.display()
        ),
    )
    .unwrap();
    let mut program = Program::run(&["--config", config.to_str().unwrap()]).await;
    let answer = get(program.listeners()[0], "/a%3Cb%3E/").await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let answer = get(program.listeners()[0], "/svc/").await;
    assert_eq!(answer.headers()["x-by"], "../../../etc/cron.d/x??x-forged: 1");
    assert!(!answer.headers().contains_key("x-forged"));
    for path in ["/../up/", "/%2e%2e%2Fup/", "/a%0Ab/", "/%1b[31m/"] {
        let answer = get(program.listeners()[0], path).await;
        assert!(answer.status().is_client_error(), "{path}: {answer:?}");
        assert!(text(&answer).trim_end().chars().all(|found| !found.is_control()), "{path}: {answer:?}");
    }
    for path in ["/services", "/services/a%3Cb%3E", "/events", "/registry?service=a%3Cb%3E"] {
        let answer = program.ask(path).await;
        assert_eq!(answer.headers()["content-type"], "application/json", "{path}");
        assert!(
            text(&answer).chars().all(|found| !found.is_ascii_control()),
            "{path}: JSON escapes what controls"
        );
    }
    let metrics = text(&program.ask("/metrics").await);
    assert!(metrics.contains("service=\"a<b>\"") && !metrics.contains("forged"), "{metrics}");

    at_last("it is logged", async || program.output().contains("/svc/")).await;
    program.signal("TERM");
    program.ended().await;
    for (place, said) in [("the log", program.log()), ("the access log", program.output())] {
        for line in said.lines() {
            let controls = line.chars().find(|found| found.is_control());
            assert_eq!(controls, None, "{place}: {line:?}");
            assert!(
                line.starts_with("20") && !line.starts_with("2026-01-01T00:00:00Z ERROR forged"),
                "{place} is forged: {line:?}"
            );
        }
    }
    let kept = files(folder.path());
    let others: Vec<&String> =
        kept.iter().filter(|path| !path.starts_with(within.to_str().unwrap())).collect();
    assert_eq!(others, [file.to_str().unwrap(), config.to_str().unwrap()]);
    assert!(kept.len() > 2, "the store holds it: {kept:?}");
    let content: String = kept[..1].iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(content.contains("script"), "{content}");
}
