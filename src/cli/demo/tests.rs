//! The parts of the demo.

use std::fs;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tower::ServiceExt as _;

use super::control;
use super::fleet::{Command, Fleet};

fn addresses(folder: &TempDir) -> Vec<String> {
    let text = fs::read_to_string(Fleet::file_in(folder.path())).unwrap();
    let file: toml::Table = text.parse().unwrap();
    let providers = file["services"]["greeter"].as_array().unwrap();
    providers.iter().map(|provider| provider["address"].as_str().unwrap().to_owned()).collect()
}

async fn ask(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test]
async fn providers_come_and_go_and_the_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::new(folder.path()).unwrap();
    assert!(addresses(&folder).is_empty());
    fleet.obey(Command::Add).await;
    fleet.obey(Command::Add).await;
    let [first, second] = addresses(&folder).try_into().unwrap();
    assert!(ask(&first).await.unwrap().ends_with("greeter-1 says hello to /hello (its request 1)\n"));
    assert!(ask(&second).await.unwrap().contains("greeter-2"));

    assert!(fleet.obey(Command::Kill).await.starts_with("greeter-1 died"));
    assert!(ask(&first).await.is_none(), "a dead provider refuses connections");
    assert_eq!(addresses(&folder).len(), 2, "and is still announced");
    assert!(fleet.obey(Command::List).await.contains("dead"));
    assert!(fleet.obey(Command::Revive).await.starts_with("greeter-1 came back"));
    assert!(ask(&first).await.unwrap().contains("greeter-1"));

    assert!(fleet.obey(Command::Remove).await.starts_with("greeter-2 withdrew"));
    assert_eq!(addresses(&folder), [first]);
    fleet.obey(Command::Remove).await;
    assert_eq!(fleet.obey(Command::Remove).await, "there is no provider left to remove");
}

#[tokio::test]
async fn the_control_port_obeys_and_explains() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Arc::new(Mutex::new(Fleet::new(folder.path()).unwrap()));
    let router = control::router(fleet);
    let ask = async |method: &str, path: &str, host: &str| {
        let request = Request::builder().method(method).uri(path).header("host", host).body(Body::empty());
        let response = router.clone().oneshot(request.unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let (status, said) = ask("POST", "/add", "127.0.0.1:4142").await;
    assert_eq!(status, StatusCode::OK);
    assert!(said.starts_with("greeter-1 started at 127.0.0.1:"), "{said}");
    let (status, said) = ask("POST", "/ad", "localhost").await;
    assert!(status == StatusCode::NOT_FOUND && said.contains("POST …/kill"), "{said}");
    assert!(ask("GET", "/", "localhost").await.1.starts_with("greeter-1 at"));
    let (status, said) = ask("GET", "/kill", "localhost").await;
    assert!(status == StatusCode::METHOD_NOT_ALLOWED && said.contains("POST …/kill"), "{said}");
    assert_eq!(ask("POST", "/kill", "evil.example").await.0, StatusCode::FORBIDDEN);
}

#[test]
fn a_letter_is_enough() {
    for (text, command) in [
        ("a", Command::Add),
        ("add", Command::Add),
        ("R", Command::Remove),
        ("k\n", Command::Kill),
        ("v", Command::Revive),
        ("l", Command::List),
    ] {
        assert_eq!(Command::parse(text), Some(command), "{text}");
    }
    assert_eq!(Command::parse(""), None);
    assert_eq!(Command::parse("ad"), None);
}
