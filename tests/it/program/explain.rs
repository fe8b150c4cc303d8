//! What the program tells of where requests go, and went; and that choices made again are the same ones.

use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::support::client::Client;
use crate::support::patience::at_last;
use crate::support::ports::free;
use crate::support::program::{Program, text, whole};
use crate::support::provider::{Echo, told};

/// A program that balances these over so, and remembers every request.
async fn remembering(policy: &str, providers: &str, more: &str) -> Program {
    let key = if policy == "maglev" { "key = \"path\"\n" } else { "" };
    Program::configured(&format!(
        "[registry]\nurl = \"fixed:greeter={providers}\"\n[services]\npolicy = \"{policy}\"\n{key}\
         [explain]\nsample_percent = 100\n{more}"
    ))
    .await
}

/// Sends a request with an id; what the provider tells of it that answered.
async fn send(client: &mut Client, path: &str, id: &str) -> Value {
    let request =
        Request::get(format!("/greeter{path}")).header("host", "localhost").header("x-request-id", id);
    let answer = client.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    told(&answer)
}

/// What is remembered of a request, once it is: it is over a little after its client has seen the end of its answer.
async fn remembered(program: &Program, id: &str) -> Value {
    let path = format!("/explain/{id}");
    at_last("it is remembered", async || program.ask(&path).await.status() == StatusCode::OK).await;
    program.ask_json(&path).await
}

#[tokio::test]
async fn a_choice_made_again_is_the_same_by_every_policy() {
    for policy in ["round-robin", "random", "least-request", "peak-ewma", "maglev"] {
        let echoes = Echo::several(3).await;
        let providers: Vec<String> = echoes.iter().map(|echo| echo.address().to_string()).collect();
        let program = remembering(policy, &providers.join(","), "").await;
        let admin = program.admin().to_string();
        let mut client = Client::connect(program.listeners()[0]).await;
        let folder = tempfile::tempdir().unwrap();
        for number in 0..8 {
            let id = format!("request-{number}");
            let answer = send(&mut client, &format!("/{number}"), &id).await;
            let memoir = remembered(&program, &id).await;
            let attempt = &memoir["attempts"][0];
            assert_eq!(attempt["endpoint"], attempt["choice"]["picked"], "{policy}: {memoir}");
            assert_eq!(attempt["endpoint"], format!("127.0.0.1:{}", answer["port"]), "{policy}: {memoir}");
            assert_eq!((&memoir["remembered"], &attempt["status"]), (&"sampled".into(), &200.into()));
            assert_eq!(memoir["path"], format!("/greeter/{number}"));

            let (code, json, complaint) = whole(&["explain", "--admin", &admin, "--id", &id, "--json"], &[]);
            assert_eq!((code, complaint.as_str()), (0, ""), "{policy}");
            let file = folder.path().join(&id);
            std::fs::write(&file, &json).unwrap();
            let (code, output, complaint) = whole(&["explain", "--replay", file.to_str().unwrap()], &[]);
            assert_eq!((code, complaint.as_str()), (0, ""), "{policy}: {output}");
            assert!(output.contains("the same as then"), "{policy}: {output}");

            // What is forged leads elsewhere, and that is said.
            let picked = attempt["endpoint"].as_str().unwrap();
            let forged = json.replace(&format!("\"picked\": \"{picked}\""), "\"picked\": \"10.0.0.1:1\"");
            std::fs::write(&file, forged).unwrap();
            let (code, output, _) = whole(&["explain", "--replay", file.to_str().unwrap()], &[]);
            assert!(code == 1 && output.contains("not as then: 10.0.0.1:1"), "{policy}: {output}");
        }
    }
}

#[tokio::test]
async fn a_failed_attempt_and_its_retry_are_told_with_reasons() {
    let echo = Echo::start().await;
    let [gone] = free::<1>();
    let gone = format!("127.0.0.1:{gone}");
    let providers = format!("{gone},{}", echo.address());
    // Nothing is drawn: what fails is remembered all the same.
    let program = Program::configured(&format!(
        "[registry]\nurl = \"fixed:greeter={providers}\"\n[explain]\nsample_percent = 0\n"
    ))
    .await;
    let mut client = Client::connect(program.listeners()[0]).await;
    // Of two turns one is that of whoever is not there.
    let ids = ["request-0", "request-1"];
    for id in ids {
        send(&mut client, "/", id).await;
    }
    let is_remembered =
        async |id: &str| program.ask(&format!("/explain/{id}")).await.status() == StatusCode::OK;
    at_last("one is remembered", async || is_remembered(ids[0]).await || is_remembered(ids[1]).await).await;
    let id = if is_remembered(ids[0]).await { ids[0] } else { ids[1] };
    let memoir = remembered(&program, id).await;
    assert_eq!(memoir["remembered"], "retried", "{memoir}");
    let attempts = memoir["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{memoir}");
    assert_eq!(
        (&attempts[0]["endpoint"], &attempts[0]["outcome"]),
        (&gone.as_str().into(), &"failed".into())
    );
    assert!(attempts[0]["unknown"].as_str().unwrap().contains("sample"), "{memoir}");
    assert_eq!(attempts[1]["choice"]["picked"], echo.address().to_string(), "the retry was told in full");

    let admin = program.admin().to_string();
    let (code, output, _) = whole(&["explain", "--admin", &admin, "--id", id], &[]);
    assert!(code == 0 && output.contains("attempt 2"), "{output}");
    let (code, _, complaint) = whole(&["explain", "--admin", &admin, "--id", "nobody"], &[]);
    assert_eq!(code, 1);
    assert!(complaint.contains("404") && complaint.contains("explain.sample_percent"), "{complaint}");
}

#[tokio::test]
async fn where_a_request_would_go_is_told_without_sending_it() {
    let echoes = Echo::several(2).await;
    let providers: Vec<String> = echoes.iter().map(|echo| echo.address().to_string()).collect();
    let routes = "[[route]]\nname = \"users\"\npath = \"/users\"\nservice = \"greeter\"\n\
                  [[service]]\nname = \"greeter\"\n";
    let program = remembering("round-robin", &providers.join(","), routes).await;
    let admin = format!("http://{}", program.admin());
    at_last("it is listed", async || program.ask("/readyz").await.status() == StatusCode::OK).await;
    let explain = |more: &[&str]| whole(&[&["explain", "--admin", &admin], more].concat(), &[]);

    let (code, output, complaint) = explain(&["GET http://greeter/hello", "-H", "x-user: ann"]);
    assert_eq!((code, complaint.as_str()), (0, ""), "{output}");
    for part in ["goes to", "greeter, by host", "users is not for it: its path is not under /users", "> "] {
        assert!(output.contains(part), "{part} in {output}");
    }
    let (_, json, _) = explain(&["greeter/hello", "--json"]);
    let first: Value = serde_json::from_str(&json).unwrap();
    let draw = first["draw"].as_str().unwrap();
    let (_, json, _) = explain(&["greeter/hello", "--json", "--draw", draw]);
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap(),
        first,
        "a draw decides, and nothing was changed"
    );
    let mut client = Client::connect(program.listeners()[0]).await;
    send(&mut client, "/hello", "sent").await;
    let memoir = remembered(&program, "sent").await;
    assert_eq!(
        memoir["attempts"][0]["endpoint"], first["picked"],
        "the turn was still that of the one explained"
    );
    assert_eq!(echoes.iter().map(Echo::requests).sum::<usize>(), 1);

    let (code, output, _) = explain(&["http://nobody/"]);
    assert!(code == 1 && output.contains("it is not followed"), "{output}");
    assert!(!text(&program.ask("/services").await).contains("nobody"));
    let (code, _, complaint) = whole(&["explain", "--admin", "127.0.0.1:1", "http://greeter/"], &[]);
    assert!(code == 2 && complaint.contains("no Wayside listens at 127.0.0.1:1"), "{complaint}");
    assert_eq!(whole(&["explain", "--admin", "https://x", "/"], &[]).0, 2);
    assert_eq!(whole(&["explain"], &[]).0, 2);
    let wrong = program.ask("/explain?drwa=1").await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
}
