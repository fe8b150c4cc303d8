//! Go Micro's old registry API on the admin port.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::light::Light;
use crate::support::patience::at_last;
use crate::support::program::{Program, get, request, text};
use crate::support::zookeeper::{Writer, ZooKeeper};

async fn started() -> (ZooKeeper, Writer, Program) {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let program = Program::run(&["--registry", &format!("zookeeper://{}", zookeeper.addresses())]).await;
    (zookeeper, writer, program)
}

fn service(id: &str, address: SocketAddr) -> String {
    json!({
        "name": "greeter", "version": "1.0", "metadata": {"team": "a"},
        "endpoints": [{"name": "Say.Hello", "request": null, "response": null, "metadata": {}}],
        "nodes": [{"id": id, "address": address.to_string(), "metadata": {"protocol": "mucp"}}],
    })
    .to_string()
}

fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or_else(|_| panic!("no JSON: {response:?}"))
}

async fn is_there(writer: &Writer, id: &str) -> bool {
    writer.client.check_stat(&format!("/micro-registry/greeter/{id}")).await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_registers_is_found_and_deregisters() {
    let (_zookeeper, writer, program) = started().await;
    let app = Light::start().await;
    let admin = program.admin();
    let body = service("g-1", app.address);
    let answer = request(admin, "POST", "/registry", &body).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    assert_eq!(json(&answer)["announcements"][0]["state"], "announced", "{}", text(&answer));
    let (data, stat) = writer.client.get_data("/micro-registry/greeter/g-1").await.unwrap();
    assert!(stat.ephemeral_owner != 0);
    // What was sent is what Go Micro's programs find, whole.
    let (found, sent): (Value, Value) =
        (serde_json::from_slice(&data).unwrap(), serde_json::from_str(&body).unwrap());
    assert_eq!(found, sent);

    let answer = get(admin, "/registry?service=greeter").await;
    let node = json!({"id": "g-1", "address": app.address.to_string(), "metadata": {"protocol": "mucp"}});
    let expected =
        json!([{"name": "greeter", "version": "1.0", "metadata": null, "endpoints": null, "nodes": [node]}]);
    assert_eq!(json(&answer), expected);
    let names = get(admin, "/registry").await;
    assert_eq!(json(&names)[0]["name"], "greeter");
    assert_eq!(get(admin, "/registry?service=nobody").await.status(), StatusCode::NOT_FOUND);

    let answer = request(admin, "DELETE", "/registry", &body).await;
    assert_eq!((answer.status(), json(&answer)), (StatusCode::OK, json!({"withdrawn": 1})));
    assert!(!is_there(&writer, "g-1").await, "it is gone when the answer comes");
    let answer = request(admin, "DELETE", "/registry", &body).await;
    assert_eq!((answer.status(), json(&answer)), (StatusCode::OK, json!({"withdrawn": 0})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_ttl_it_has_to_register_again() {
    let (_zookeeper, writer, program) = started().await;
    // Nobody listens there: who has to register again shows by that that it lives.
    let body = service("g-1", "127.0.0.1:9".parse().unwrap());
    let registered = std::time::Instant::now();
    let answer = request(program.admin(), "POST", "/registry?ttl=1s", &body).await;
    assert_eq!(json(&answer)["announcements"][0]["state"], "announced", "{}", text(&answer));
    assert_eq!(request(program.admin(), "POST", "/registry?ttl=2s", &body).await.status(), StatusCode::OK);
    at_last("it is withdrawn", async || !is_there(&writer, "g-1").await).await;
    assert!(registered.elapsed() >= std::time::Duration::from_secs(2), "the second time counts");
    program.logs("was not registered again within its ttl").await;
    assert_eq!(program.ask_json("/announcements").await["announcements"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_a_bound_to_everything() {
    let (_zookeeper, _writer, program) = started().await;
    let nodes: Vec<Value> = (0..64)
        .map(|number| json!({"id": format!("g-{number}"), "address": format!("127.0.0.1:{}", 1000 + number)}))
        .collect();
    let all = json!({"name": "greeter", "nodes": nodes}).to_string();
    assert_eq!(request(program.admin(), "POST", "/registry?ttl=1m", &all).await.status(), StatusCode::OK);
    let more = service("more", "127.0.0.1:9".parse().unwrap());
    let answer = request(program.admin(), "POST", "/registry?ttl=1m", &more).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert!(
        text(&answer).contains("64 announcements are kept") && text(&answer).contains("withdraw one first")
    );
    let answer = request(program.admin(), "POST", "/registry", &"x".repeat(1024 * 1024 + 1)).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    for (path, body) in
        [("/registry", "no JSON"), ("/registry?ttl=10", &more), ("/registry", "{\"name\":\"a\"}")]
    {
        let answer = request(program.admin(), "POST", path, body).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path} {body}");
        assert!(json(&answer)["cure"].is_string());
    }
}

#[tokio::test]
async fn where_nothing_can_be_announced_the_cure_is_told() {
    let program = Program::run(&["--registry", "fixed:greeter=127.0.0.1:1"]).await;
    let body = service("g-1", "127.0.0.1:9".parse().unwrap());
    let answer = request(program.admin(), "POST", "/registry", &body).await;
    assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(json(&answer)["error"].as_str().unwrap().contains("registry fixed"), "{}", text(&answer));
    assert!(
        json(&answer)["cure"].as_str().unwrap().starts_with("announce in another: zookeeper"),
        "{}",
        text(&answer)
    );
    // What is known can be asked of any.
    assert_eq!(
        json(&get(program.admin(), "/registry?service=greeter").await)[0]["nodes"][0]["address"],
        "127.0.0.1:1"
    );
}

#[tokio::test]
async fn no_page_of_a_stranger_registers_anything() {
    let program = Program::run(&["--registry", "fixed:greeter=127.0.0.1:1"]).await;
    let admin = program.admin();
    for method in ["POST", "DELETE"] {
        let request = Request::builder()
            .method(method)
            .uri("/registry")
            .header("host", admin.to_string())
            .header("origin", "http://evil.example")
            .body(Full::from("{}"))
            .unwrap();
        let answer = Client::connect(admin).await.send(request).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method}");
    }
}
