//! `wayside events`: what happened, and what happens, told once and without gaps, over a restart of the proxy.

use std::path::Path;

use serde_json::Value;

use crate::support::program::{ANY, Program, whole};

/// Writes a registry of providers of one service, by their ports.
fn announce(file: &Path, ports: &[u16]) {
    let list: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    let folder = file.parent().unwrap();
    // By renaming, so that nobody reads half of it.
    let new = folder.join("new.toml");
    std::fs::write(&new, format!("[services]\ngreeter = [{}]\n", list.join(", "))).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// A proxy that follows it, and knows its service from the start.
async fn proxy(file: &Path, admin: &str) -> Program {
    let config = file.with_file_name("wayside.toml");
    let text = format!("[registry]\nurl = \"file:{}\"\n[[service]]\nname = \"greeter\"\n", file.display());
    std::fs::write(&config, text).unwrap();
    let arguments = ["run", "--config", config.to_str().unwrap(), "--listen", ANY, "--admin", admin];
    let program = Program::launch(&arguments, &[]);
    program.logs("operators are answered").await;
    program
}

fn told(follower: &Program) -> Vec<(String, u64, String)> {
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        (text("address"), event["number"].as_u64().unwrap(), text("event"))
    };
    follower.output().lines().map(event).collect()
}

#[tokio::test]
async fn followers_lose_nothing_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.toml");
    announce(&file, &[1]);
    let mut first = proxy(&file, ANY).await;
    let admin = first.admin().to_string();
    let follower = Program::launch(&["events", "--follow", "--json", "--admin", &admin], &[]);
    follower.says("127.0.0.1:1\"").await;
    announce(&file, &[1, 2]);
    follower.says("127.0.0.1:2\"").await;

    first.signal("TERM");
    assert!(first.ended().await.success());
    follower.logs("asking again until it answers").await;
    announce(&file, &[1, 2, 3]);
    let _second = proxy(&file, &admin).await;
    follower.logs("the proxy was started anew").await;
    follower.says("127.0.0.1:3\"").await;
    announce(&file, &[1, 2, 3, 4]);
    follower.says("127.0.0.1:4\"").await;

    let told = told(&follower);
    println!("{told:?}\n{}", follower.log());
    let numbers: Vec<u64> = told.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 1, 2, 3, 4]);
    let addresses: Vec<&str> = told.iter().map(|(address, ..)| address.rsplit(':').next().unwrap()).collect();
    assert_eq!(addresses, ["1", "2", "1", "2", "3", "4"]);
    assert!(told.iter().all(|(_, _, event)| event == "added"), "{told:?}");
}

#[tokio::test]
async fn what_is_over_is_told_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.toml");
    announce(&file, &[1, 2, 3]);
    let program = proxy(&file, ANY).await;
    let admin = program.admin().to_string();
    let follower = Program::launch(&["events", "-f", "--service", "greeter", "--admin", &admin], &[]);
    follower.says("127.0.0.1:3  added").await;
    announce(&file, &[1, 2]);
    let line = follower.says("withdrawn").await;
    assert!(line.contains("greeter  127.0.0.1:3  withdrawn"), "{line}");
    let (code, said, complaint) = whole(&["events", "--admin", &admin], &[]);
    println!("{said}");
    assert_eq!((code, complaint.as_str(), said.lines().count()), (0, "", 4), "{said}");
    assert!(
        said.lines().last().unwrap().contains("withdrawn") && said.lines().next().unwrap().contains("added"),
        "{said}"
    );
    assert_eq!(whole(&["events", "-n", "1", "--admin", &admin], &[]).1.lines().count(), 1);
    assert_eq!(whole(&["events", "--service", "other", "--admin", &admin], &[]).1, "");
}
