//! `wayside status`: what is ill comes first, and the exit code says whether anything is.

use http::StatusCode;
use serde_json::Value;

use crate::support::patience::at_last;
use crate::support::program::{ANY, Program, get, whole};
use crate::support::provider::Echo;

fn status(program: &Program, more: &[&str]) -> (i32, String, String) {
    let admin = program.admin().to_string();
    whole(&[&["status", "--admin", &admin], more].concat(), &[])
}

#[tokio::test]
async fn a_healthy_fleet_is_told_in_few_lines() {
    let echo = Echo::start().await;
    let program = Program::run(&["--registry", &format!("fixed:greeter={}", echo.address())]).await;
    assert_eq!(get(program.listeners()[0], "/greeter/").await.status(), StatusCode::OK);
    at_last("all is well", async || status(&program, &[]).0 == 0).await;
    let (_, said, complaint) = status(&program, &[]);
    println!("{said}");
    assert_eq!(complaint, "");
    let first = said.lines().next().unwrap();
    assert!(first.starts_with(&format!("wayside {}", env!("CARGO_PKG_VERSION"))), "{first}");
    assert!(first.ends_with("all is well") && first.contains(&program.admin().to_string()), "{first}");
    assert!(said.lines().any(|line| line.starts_with("greeter") && line.contains("1 of 1")), "{said}");
    assert!(!said.contains("ILL") && !said.contains('\u{1b}'), "{said}");
    assert!(status(&program, &["--color", "always"]).1.contains("\u{1b}[32mall is well"));
    // The variable that names the admin server for `run` does so here.
    let admin = program.admin().to_string();
    assert_eq!(whole(&["status"], &[("WAYSIDE_ADMIN", &admin)]).0, 0);
}

#[tokio::test]
async fn what_is_ill_is_told_first_with_its_reason() {
    let echo = Echo::start().await;
    let registry = format!("fixed:greeter=127.0.0.1:1,{}", echo.address());
    let program = Program::run(&["--registry", &registry]).await;
    at_last("one is found unreachable", async || {
        get(program.listeners()[0], "/greeter/").await;
        status(&program, &[]).0 == 1
    })
    .await;
    let (_, said, _) = status(&program, &[]);
    println!("{said}");
    for part in [
        "1 thing is ill",
        "greeter: 1 of 2 providers is not used",
        "127.0.0.1:1 is unreachable: connections failed",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    let (code, json, _) = status(&program, &["--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (code, &json["well"], &json["ill"][0]["name"]),
        (1, &false.into(), &"greeter".into()),
        "{json}"
    );
    assert_eq!(json["services"][0]["available"], 1);
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_ill() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.toml");
    let program = Program::run(&["--registry", &format!("file:{}", file.display())]).await;
    program.logs("the registry does not answer").await;
    let (code, said, _) = status(&program, &[]);
    println!("{said}");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("this proxy is not ready for requests"), "{said}");
    assert!(said.contains("registry file ") && said.contains("it is down for"), "{said}");
}

#[tokio::test]
async fn who_cannot_be_asked_is_another_code() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for command in
        [&["status"][..], &["status", "--json"], &["events"], &["events", "--follow"], &["top", "--once"]]
    {
        let (code, said, complaint) = whole(&[command, &["--admin", &free]].concat(), &[]);
        assert_eq!((code, said.as_str()), (2, ""), "{command:?}: {complaint}");
        assert!(complaint.contains(&free) && complaint.contains("--admin"), "{complaint}");
        assert_eq!(whole(&[command, &["--admin", "https://x"]].concat(), &[]).0, 2, "{command:?}");
    }
    // Somebody else answers there: the requests' port of a Wayside, to which this is a service without a registry's word.
    let file = folder.path().join("providers.toml");
    std::fs::write(&file, "[services]\n").unwrap();
    let program = Program::launch(
        &["run", "--listen", ANY, "--admin", ANY, "--registry", &format!("file:{}", file.display())],
        &[],
    );
    program.logs("operators are answered").await;
    let (code, _, complaint) = whole(&["status", "--admin", &program.listeners()[0].to_string()], &[]);
    assert!(code == 2 && complaint.contains("GET /readyz"), "{code} {complaint}");
}
