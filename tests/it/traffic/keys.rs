//! Keys: who has the same one goes to the same provider, whichever proxy he asks.

use std::collections::BTreeSet;

use super::{ask, port, provider, proxied, registry};
use crate::support::provider::Echo;

#[tokio::test]
async fn the_same_key_leads_to_the_same_provider_through_every_proxy() {
    let echoes = Echo::several(5).await;
    let providers: Vec<String> = echoes.iter().map(|echo| provider(echo, "")).collect();
    let text = registry(&[("a", &providers)])
        + "[[service]]\nname = \"a\"\npolicy = \"maglev\"\nkey = [\"header:x-user\", \"cookie:session\"]\n";
    let (_one, mut first) = proxied(&text).await;
    let (_other, mut second) = proxied(&text).await;
    let mut ports = BTreeSet::new();
    // So many that none of the five is left out by chance once in a thousand million runs.
    for user in 0..100 {
        let (user, cookie) = (user.to_string(), format!("x=y; session={user}"));
        let by_header = port(&ask(&mut first, &[("x-user", &user)]).await);
        for _ in 0..3 {
            assert_eq!(port(&ask(&mut second, &[("x-user", &user)]).await), by_header);
            assert_eq!(port(&ask(&mut first, &[("cookie", &cookie)]).await), by_header, "the same bytes");
        }
        ports.insert(by_header);
    }
    assert_eq!(ports.len(), 5, "users are spread");
}

#[tokio::test]
async fn without_a_key_requests_are_spread() {
    let echoes = Echo::several(3).await;
    let providers: Vec<String> = echoes.iter().map(|echo| provider(echo, "")).collect();
    let text = registry(&[("a", &providers)])
        + "[services]\npolicy = \"maglev\"\nkey = \"header:x-user\"\n[[route]]\nservice = \"a\"\nhosts = \"a\"\n";
    let (_proxy, mut client) = proxied(&text).await;
    let mut ports = BTreeSet::new();
    for _ in 0..60 {
        ports.insert(port(&ask(&mut client, &[]).await));
    }
    assert_eq!(ports.len(), 3);
    ports.clear();
    for _ in 0..20 {
        ports.insert(port(&ask(&mut client, &[("x-user", "ann")]).await));
    }
    assert_eq!(ports.len(), 1, "a route takes the key of all services");
}
