//! What no real agent does on demand, by a played one: a change that no query tells of, nonsense, and far too much.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::*;

/// A played agent.
#[derive(Default)]
struct Played {
    /// What a query that does not wait is answered, with its index.
    answer: Mutex<(StatusCode, String, u64)>,
    /// What a query that waits is answered at once, if anything; else it is never answered.
    at_once: Mutex<Option<String>>,
    /// Whether access control is said to have left something out.
    filtered: AtomicBool,
    asked: AtomicU64,
    /// The index of each query, `none` for those that do not wait.
    waited: Mutex<Vec<String>>,
}

async fn health(
    State(played): State<Arc<Played>>,
    Query(options): Query<std::collections::BTreeMap<String, String>>,
) -> Response {
    played.asked.fetch_add(1, Ordering::Relaxed);
    let (status, body, index) = played.answer.lock().clone();
    let mut body = body;
    let from = options.get("index").map_or("none", String::as_str);
    played.waited.lock().push(from.to_owned());
    if from != "none" {
        let told = played.at_once.lock().clone();
        match told {
            Some(told) => body = told,
            None => std::future::pending::<()>().await,
        }
    }
    let filtered = played.filtered.load(Ordering::Relaxed).to_string();
    let headers = [("x-consul-index", index.to_string()), ("x-consul-results-filtered-by-acls", filtered)];
    (status, headers, body).into_response()
}

/// Plays an agent that answers this.
async fn play(body: &Value, index: u64) -> (Arc<Played>, String) {
    let played = Arc::new(Played::default());
    *played.answer.lock() = (StatusCode::OK, body.to_string(), index);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("consul://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/v1/status/leader", get(|| async { "\"\"" }))
        .route("/v1/health/service/{name}", get(health))
        .with_state(Arc::clone(&played));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (played, url)
}

fn entry(id: &str) -> Value {
    json!({"Node": {"Node": "n", "Address": "10.0.0.1"}, "Service": {"ID": id, "Port": 80}, "Checks": []})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_no_query_told_of_is_found_and_told_as_such() {
    let (played, url) = play(&json!([entry("a")]), 7).await;
    let watching = Watching::start(registry(&format!("{url}?audit=2s")), &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    played.answer.lock().1 = json!([entry("a"), entry("b")]).to_string();
    played.answer.lock().2 = 9;
    eventually(SOON, "the lost change is found", || watching.has("greeter", &["a", "b"])).await;
    let listing = watching.listing("greeter").unwrap();
    assert!(listing.healed && listing.heard.is_none());
    eventually(SOON, "it goes on from there", || (played.waited.lock().last()? == "9").then_some(())).await;
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_of_none_or_zero_never_makes_a_query_that_does_not_wait_or_a_storm() {
    let (played, url) = play(&json!([entry("a")]), 0).await;
    *played.at_once.lock() = Some(json!([entry("a")]).to_string());
    let watching = Watching::start(registry(&url), &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    let begun = std::time::Instant::now();
    eventually(SOON, "it is asked many times", || (played.waited.lock().len() > 15).then_some(())).await;
    // Ten at once, then one each 200 ms.
    assert!(begun.elapsed() > Duration::from_millis(800), "16 questions in {:?}", begun.elapsed());
    assert!(played.waited.lock().iter().skip(1).all(|index| index == "1"));
    assert_eq!(watching.count(), 2, "what says the same is not told again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_goes_back_is_given_up() {
    let (played, url) = play(&json!([entry("a")]), 50).await;
    *played.at_once.lock() = Some(json!([entry("a")]).to_string());
    let watching = Watching::start(registry(&url), &["greeter"]);
    eventually(SOON, "it waits", || (played.waited.lock().last()? == "50").then_some(())).await;
    // What waits is answered with a lower index than it waited for.
    played.answer.lock().2 = 12;
    *played.at_once.lock() = Some(json!([entry("b")]).to_string());
    eventually(SOON, "the answer is taken all the same", || watching.has("greeter", &["b"])).await;
    let place = || played.waited.lock().iter().position(|index| index == "12");
    let place = eventually(SOON, "the lower index is waited for", place).await;
    assert_eq!(played.waited.lock()[place - 1], "none", "and was asked for without one before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_and_refusals_take_nothing_away_and_end_nothing() {
    let (played, url) = play(&json!([entry("a")]), 7).await;
    let watching = Watching::start(registry(&format!("{url}?audit=1s")), &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    for (status, body) in [
        (StatusCode::OK, "{\"not\": \"a list\"}".to_owned()),
        (StatusCode::OK, String::new()),
        (StatusCode::FORBIDDEN, "Permission denied".to_owned()),
        (StatusCode::TOO_MANY_REQUESTS, "Too many connections".to_owned()),
        (StatusCode::OK, "x".repeat(70 * 1024 * 1024)),
    ] {
        let asked = played.asked.load(Ordering::Relaxed);
        *played.answer.lock() = (status, body, 8);
        eventually(SOON, "it is asked again", || {
            (played.asked.load(Ordering::Relaxed) > asked + 1).then_some(())
        })
        .await;
    }
    played.filtered.store(true, Ordering::Relaxed);
    let asked = played.asked.load(Ordering::Relaxed);
    *played.answer.lock() = (StatusCode::OK, "[]".to_owned(), 8);
    eventually(SOON, "it is asked again", || {
        (played.asked.load(Ordering::Relaxed) > asked + 1).then_some(())
    })
    .await;
    assert_eq!((watching.lists_since(0, "greeter").len(), watching.failures().len()), (1, 0));
    assert_eq!(watching.has("greeter", &["a"]), Some(()));
    assert!(watching.unheard("greeter"), "it is told that nothing vouches for it");
    *played.answer.lock() = (StatusCode::OK, json!([entry("b")]).to_string(), 9);
    eventually(SOON, "it recovers", || watching.has("greeter", &["b"])).await;

    *played.answer.lock() = (StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader".to_owned(), 9);
    let failure = eventually(SOON, "what concerns all ends the watch", || watching.failures().pop()).await;
    assert!(failure.contains("500") && failure.contains("No cluster leader"), "{failure}");
    assert_eq!(watching.has("greeter", &["b"]), Some(()));
}
