//! `wayside demo`: what it prints can be typed, and it leaves nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use http::StatusCode;
use tokio::net::TcpListener;

use crate::support::patience::at_last;
use crate::support::program::{ANY, Program, get, request, text, whole};

/// A demo on free ports, with its temporary folder inside this one.
async fn demo(folder: &Path) -> Program {
    let arguments = ["demo", "--listen", ANY, "--admin", ANY, "--control", ANY];
    let demo = Program::launch(&arguments, &[("TMPDIR", folder.to_str().unwrap())]);
    demo.says("Ctrl-C ends it").await;
    demo
}

/// The address in the first line that names it.
fn printed(demo: &Program, name: &str) -> SocketAddr {
    let output = demo.output();
    let line = output.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    let rest = line.split_once("http://").unwrap().1;
    rest.split('/').next().unwrap().parse().unwrap()
}

/// Who answers the next requests; each of them must succeed.
async fn answering(requests: SocketAddr, count: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for _ in 0..count {
        let response = get(requests, "/greeter/hello").await;
        assert_eq!(response.status(), StatusCode::OK, "{}", text(&response));
        names.insert(text(&response).split(' ').next().unwrap().to_owned());
    }
    names
}

fn names(numbers: &[u32]) -> BTreeSet<String> {
    numbers.iter().map(|number| format!("greeter-{number}")).collect()
}

#[tokio::test]
async fn providers_take_turns_die_and_come_without_a_failed_request() {
    let folder = tempfile::tempdir().unwrap();
    let demo = demo(folder.path()).await;
    let [requests, admin, control] = ["requests", "page", "control"].map(|name| printed(&demo, name));
    assert!(demo.output().contains(&format!("\n    curl http://{requests}/greeter/hello\n")));
    assert!(demo.output().contains(&format!("\n    curl -X POST http://{control}/kill\n")));
    assert!(text(&get(admin, "/").await).contains("<html"));
    assert_eq!(answering(requests, 3).await, names(&[1, 2, 3]));

    assert!(text(&request(control, "POST", "/kill", "").await).starts_with("greeter-1 died"));
    assert_eq!(answering(requests, 30).await, names(&[2, 3]));

    request(control, "POST", "/add", "").await;
    at_last("the new provider answers", async || answering(requests, 3).await == names(&[2, 3, 4])).await;
    request(control, "POST", "/revive", "").await;
    at_last("the dead one answers again", async || answering(requests, 4).await == names(&[1, 2, 3, 4]))
        .await;
    assert!(text(&request(control, "POST", "/remove", "").await).starts_with("greeter-4 withdrew"));
    at_last("the last one is gone", async || answering(requests, 3).await == names(&[1, 2, 3])).await;
    demo.logs("greeter-4 withdrew").await;
}

#[tokio::test]
async fn it_ends_well_and_leaves_nothing_behind() {
    for signal in ["TERM", "INT", "HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = demo(folder.path()).await;
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the registry is a file in a folder");
        demo.signal(signal);
        let status = demo.ended().await;
        assert_eq!(status.code(), Some(0), "{signal}: {}", demo.log());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{signal}");
        assert!(demo.output().ends_with("nothing stays behind.\n"), "{signal}");
    }
}

#[tokio::test]
async fn a_taken_port_is_told_with_its_flag() {
    let taken = TcpListener::bind(ANY).await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin", "--control"] {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = vec!["demo"];
        for each in ["--listen", "--admin", "--control"] {
            arguments.extend([each, if each == flag { &address } else { ANY }]);
        }
        let (code, said, complaint) = whole(&arguments, &[("TMPDIR", folder.path().to_str().unwrap())]);
        assert_eq!((code, said.as_str()), (1, ""), "{flag}");
        assert!(complaint.contains(&format!("cannot listen on {address}")), "{complaint}");
        assert!(complaint.contains(&format!("another address with {flag}")), "{complaint}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{flag}");
    }
}
