//! `wayside top` in a terminal: it draws, obeys keys, follows the size of the terminal, and leaves it as it was.

use serde_json::Value;

use crate::support::patience::at_last;
use crate::support::program::{Program, get, whole};
use crate::support::provider::Echo;
use crate::support::terminal::Terminal;

async fn fleet(echo: &Echo) -> Program {
    let registry = format!("fixed:greeter={0},127.0.0.1:1;users={0}", echo.address());
    let program = Program::run(&["--registry", &registry]).await;
    for _ in 0..20 {
        get(program.listeners()[0], "/greeter/").await;
        get(program.listeners()[0], "/users/").await;
    }
    program
}

#[tokio::test]
async fn it_draws_and_leaves_the_terminal_as_it_was() {
    let echo = Echo::start().await;
    let program = fleet(&echo).await;
    let admin = program.admin().to_string();
    let mut top = Terminal::launch(&["top", "--admin", &admin, "--interval", "1s", "--sort", "name"], 80, 24);
    top.shows("greeter").await;
    println!("{}", top.contents());
    assert!(!top.is_as_before());
    // Rates are those between two looks.
    at_last("a rate is shown", async || {
        get(program.listeners()[0], "/users/").await;
        let drawn = top.contents();
        let row = drawn.lines().find(|line| line.starts_with("users")).unwrap_or_default().to_owned();
        row.contains(" ms")
    })
    .await;
    println!("{}", top.contents());

    top.types("\r");
    let drawn = top.shows("PROVIDER").await;
    top.shows("127.0.0.1:1 ").await;
    assert!(drawn.contains("esc back"), "{drawn}");
    println!("{}", top.contents());
    top.types("\u{1b}");
    top.shows("enter open").await;

    top.resize(60, 12);
    at_last("it fits", async || top.contents().lines().count() <= 12 && top.contents().contains("q quit"))
        .await;
    // Not at once: of a key that comes together with a new size crossterm tells only with the next one.
    top.types("s");
    top.shows("sort (rate)").await;
    println!("{}", top.contents());
    top.types("q");
    assert_eq!(top.ended().await.code(), Some(0));
    at_last("the terminal is as it was", async || top.is_as_before()).await;
}

#[tokio::test]
async fn whatever_ends_it_the_terminal_is_given_back() {
    let echo = Echo::start().await;
    let program = fleet(&echo).await;
    let admin = program.admin().to_string();
    for signal in [None, Some("TERM"), Some("HUP")] {
        let mut top = Terminal::launch(&["top", "--admin", &admin], 80, 24);
        top.shows("greeter").await;
        match signal {
            None => top.types("\u{3}"),
            Some(name) => top.signal(name),
        }
        assert_eq!(top.ended().await.code(), Some(0), "{signal:?}");
        at_last("the terminal is as it was", async || top.is_as_before()).await;
    }
}

#[tokio::test]
async fn it_goes_on_when_the_proxy_ends() {
    let echo = Echo::start().await;
    let mut program = fleet(&echo).await;
    let admin = program.admin().to_string();
    let mut top = Terminal::launch(&["top", "--admin", &admin, "--interval", "1s"], 100, 24);
    top.shows("greeter").await;
    program.signal("TERM");
    program.ended().await;
    let drawn = top.shows("no Wayside listens at").await;
    assert!(drawn.contains("greeter"), "what was seen last is still shown: {drawn}");
    top.types("q");
    assert_eq!(top.ended().await.code(), Some(0));
}

#[tokio::test]
async fn scripts_measure_once() {
    let echo = Echo::start().await;
    let program = fleet(&echo).await;
    let admin = program.admin().to_string();
    let (code, said, complaint) = whole(&["top", "--once", "--interval", "1s", "--admin", &admin], &[]);
    println!("{said}");
    assert_eq!((code, complaint.as_str()), (0, ""));
    assert!(said.contains("RATE/s") && said.lines().any(|line| line.starts_with("greeter")), "{said}");
    let (code, json, _) = whole(&["top", "--json", "--interval", "1s", "--admin", &admin], &[]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["services"][0]["name"]), (0, &"greeter".into()), "{json}");
    let (code, _, complaint) = whole(&["top", "--admin", &admin], &[]);
    assert!(code == 2 && complaint.contains("--once"), "{complaint}");
}
