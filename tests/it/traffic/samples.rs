//! Samples: of many providers a proxy uses a few, which depend on its name alone.

use std::collections::BTreeSet;

use super::{ask, port, provider, proxied, registry};
use crate::support::provider::Echo;

/// The ports that a proxy of this name sends requests to, with two of ten used.
async fn used(identity: &str, echoes: &[Echo]) -> BTreeSet<u16> {
    let providers: Vec<String> = echoes.iter().map(|echo| provider(echo, "")).collect();
    let text = format!("identity = \"{identity}\"\n[services]\nsubset_size = 2\n");
    let (_proxy, mut client) = proxied(&(text + &registry(&[("a", &providers)]))).await;
    let mut ports = BTreeSet::new();
    for _ in 0..10 {
        ports.insert(port(&ask(&mut client, &[]).await));
    }
    ports
}

#[tokio::test]
async fn a_proxy_uses_the_same_few_again_and_others_use_others() {
    let echoes = Echo::several(10).await;
    let first = used("orders-1", &echoes).await;
    assert_eq!(first.len(), 2);
    assert_eq!(used("orders-1", &echoes).await, first, "after a restart, too");
    let mut all = first;
    for number in 2..12 {
        let used = used(&format!("orders-{number}"), &echoes).await;
        assert_eq!(used.len(), 2);
        all.extend(used);
    }
    // That twenty draws of ten leave more than half of them out is chance once in ten million runs.
    assert!(all.len() > 5, "{all:?}");
}
