//! An agent that dies, that starts anew with nothing of what it knew, and that falls silent.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_begins_anew_counts_from_lower_and_is_followed_on() {
    let mut consul = Consul::start().await;
    for port in 80..100 {
        consul.register(&instance(&format!("i{port}"), port)).await;
    }
    let watching = watch(&consul, "", &["greeter"]);
    let before = eventually(SOON, "all are listed", || {
        watching.providers("greeter").filter(|all| all.len() == 20)?;
        watching.listing("greeter")?.revision
    })
    .await;
    let count = watching.count();
    consul.kill();
    eventually(SOON, "the loss ends the watch", || watching.failures().pop()).await;
    assert!(watching.lists_since(count, "greeter").is_empty(), "no word of it takes a provider away");

    consul.run();
    consul.ready().await;
    consul.register(&instance("a", 80)).await;
    eventually(SOON, "what is there now is listed", || watching.has("greeter", &["a"])).await;
    let after = watching.listing("greeter").unwrap().revision.unwrap();
    assert!(after < before, "the index went from {before} to {after}");
    consul.register(&instance("b", 81)).await;
    eventually(SOON, "and what comes is heard of", || watching.has("greeter", &["a", "b"])).await;
    assert!(watching.listing("greeter").unwrap().heard.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_falls_silent_is_noticed_by_its_pulse() {
    let consul = Consul::start().await;
    consul.register(&instance("a", 80)).await;
    let watching = watch(&consul, "", &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    consul.pause();
    // A pulse is felt each 8 to 23 seconds, and waits 5 seconds for each of two connections.
    let failure = eventually(SOON * 4, "the silence ends the watch", || watching.failures().pop()).await;
    assert!(failure.contains("did not answer /v1/status/leader"), "{failure}");
    consul.resume();
    let count = watching.count();
    eventually(SOON, "it is listed again", || {
        (!watching.lists_since(count, "greeter").is_empty()).then_some(())
    })
    .await;
    assert_eq!(watching.has("greeter", &["a"]), Some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_told_with_the_cure() {
    let mut consul = Consul::start().await;
    consul.kill();
    let watching = watch(&consul, "", &["greeter"]);
    let failure = eventually(SOON, "it fails", || watching.failures().pop()).await;
    assert!(failure.contains("cannot connect to the Consul agent at 127.0.0.1:"), "{failure}");
    assert!(failure.contains("check that it runs there"), "{failure}");
    assert_eq!(watching.count(), 0);
}
