//! Where `wayside run` is told what to do: flags win over the environment, and the environment over the file.

use std::fs;

use http::StatusCode;

use crate::support::program::{ANY, Program, get, text};
use crate::support::provider::{Echo, told};

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    let echo = Echo::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wayside.toml");
    let text_of_file = "workers = 3\n[services]\npolicy = \"random\"\n[log]\nlevel = \"debug\"\n\
                        [registry]\nurl = \"fixed:other=127.0.0.1:1\"\n";
    fs::write(&file, text_of_file).unwrap();
    let registry = format!("fixed:greeter={}", echo.address());
    let arguments = ["run", "--listen", ANY, "--workers", "1"];
    let variables = [
        ("WAYSIDE_CONFIG", file.to_str().unwrap()),
        ("WAYSIDE_REGISTRY", registry.as_str()),
        ("WAYSIDE_ADMIN", ANY),
        ("WAYSIDE_WORKERS", "2"),
        ("WAYSIDE_LOG_LEVEL", "info"),
        ("WAYSIDE_LISTEN", "127.0.0.1:1"),
    ];
    let program = Program::launch(&arguments, &variables);
    program.logs("operators are answered").await;
    let config: toml::Table = text(&program.ask("/config").await).parse().unwrap();
    assert_eq!(config["workers"].as_integer(), Some(1), "the flag");
    assert_eq!(config["log"]["level"].as_str(), Some("info"), "the variable");
    assert_eq!(config["services"]["policy"].as_str(), Some("random"), "the file");
    let response = get(program.listeners()[0], "/greeter/a").await;
    assert_eq!(told(&response)["target"], "/a");
}

#[tokio::test]
async fn a_file_is_a_registry_that_is_followed() {
    let echoes = Echo::several(2).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.toml");
    let announce = |echo: &Echo| {
        let text = format!("[services]\ngreeter = [\"{}\"]\n", echo.address());
        let new = folder.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &file).unwrap();
    };
    announce(&echoes[0]);
    let program = Program::run(&["--registry", &format!("file:{}", file.display())]).await;
    let port = async || {
        let response = get(program.listeners()[0], "/greeter/").await;
        assert_eq!(response.status(), StatusCode::OK, "{}", text(&response));
        told(&response)["port"].as_u64().unwrap()
    };
    assert_eq!(port().await, u64::from(echoes[0].address().port()));
    announce(&echoes[1]);
    let other = u64::from(echoes[1].address().port());
    crate::support::patience::at_last("the change is followed", async || port().await == other).await;
}

#[tokio::test]
async fn a_listener_can_be_for_one_service() {
    let echo = Echo::start().await;
    let registry = format!("fixed:greeter={}", echo.address());
    let program = Program::run(&["--registry", &registry, "--service", "greeter", "--listen", ANY]).await;
    assert_eq!(program.listeners().len(), 2);
    for address in program.listeners() {
        let response = get(address, "/users/1").await;
        assert_eq!(told(&response)["target"], "/users/1");
    }
}
