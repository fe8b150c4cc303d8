//! Splits: requests shared out between versions and services, and users who stay on their side.

use std::collections::BTreeSet;

use super::{Changed, ask, port, provider, proxied, registry};
use crate::support::client::Client;
use crate::support::provider::Echo;

/// Providers of version 1 and 2 of `a`, and one of `b`.
async fn three() -> (Vec<Echo>, String) {
    let echoes = Echo::several(3).await;
    let versions = ["version = \"1\"", "version = \"2\"", ""];
    let providers: Vec<String> =
        echoes.iter().zip(versions).map(|(echo, version)| provider(echo, version)).collect();
    let text = registry(&[("a", &providers[..2]), ("b", &providers[2..])]);
    (echoes, text)
}

fn route(key: &str, weights: [f64; 3]) -> String {
    let [one, two, three] = weights;
    format!(
        "[[route]]\nname = \"shared\"\nservice = \"a\"\n{key}\nsplit = [{{ version = \"1\", weight = {one} }}, \
         {{ version = \"2\", weight = {two} }}, {{ service = \"b\", weight = {three} }}]\n"
    )
}

#[tokio::test]
async fn requests_are_shared_out_by_weight() {
    let (echoes, text) = three().await;
    let (proxy, mut client) = proxied(&(text + &route("", [75.0, 0.0, 25.0]))).await;
    for _ in 0..400 {
        assert_eq!(ask(&mut client, &[]).await.status(), 200);
    }
    let counts: Vec<usize> = echoes.iter().map(Echo::requests).collect();
    // A fair coin of this weight falls outside by less than one run in a million.
    assert!(counts[1] == 0 && (57..=143).contains(&counts[2]), "{counts:?}");
    let counted = |part| proxy.metrics.traffic.split("shared", part).get();
    assert_eq!(counted("a[version=1]"), counts[0] as u64);
    assert_eq!((counted("a[version=2]"), counted("b")), (0, counts[2] as u64));
}

/// The users, of 300, whose requests arrive at a provider.
async fn users_of(client: &mut Client, echo: &Echo) -> BTreeSet<usize> {
    let mut users = BTreeSet::new();
    for user in 0..300 {
        if port(&ask(client, &[("x-user", &user.to_string())]).await) == echo.address().port() {
            users.insert(user);
        }
    }
    users
}

#[tokio::test]
async fn users_stay_on_their_side_and_a_reload_moves_none_but_those_it_must() {
    let (echoes, text) = three().await;
    let access = "[access_log]\nenabled = true\n";
    let with = |weights| format!("{text}{access}{}", route("key = \"header:x-user\"", weights));
    let changed = Changed::run(&with([90.0, 10.0, 0.0])).await;
    let mut client = changed.client().await;
    let before = users_of(&mut client, &echoes[1]).await;
    assert_eq!(users_of(&mut client, &echoes[1]).await, before);
    changed.change(&with([70.0, 30.0, 0.0])).await;
    let after = users_of(&mut client, &echoes[1]).await;
    assert!(before.is_subset(&after), "whoever is there already stays");
    assert!((10..=55).contains(&before.len()) && (50..=130).contains(&after.len()), "{before:?} {after:?}");
    changed.program.says("part=a[version=2]").await;
}
