//! Shadow policies: a second policy is asked as well, operators see how it differs, and nothing is sent where it says.

use super::{Changed, ask, provider, registry};
use crate::support::patience::at_last;
use crate::support::provider::Echo;

#[tokio::test]
async fn what_another_policy_would_do_is_published_and_not_done() {
    let echoes = Echo::several(3).await;
    let providers: Vec<String> = echoes.iter().map(|echo| provider(echo, "")).collect();
    let text = registry(&[("a", &providers)])
        + "[services.health]\nslow_start = false\n[[service]]\nname = \"a\"\nshadow_policy = \"random\"\n";
    let changed = Changed::run(&text).await;
    let mut client = changed.client().await;
    for _ in 0..90 {
        assert_eq!(ask(&mut client, &[]).await.status(), 200);
    }
    let requests: Vec<usize> = echoes.iter().map(Echo::requests).collect();
    let is_even = requests.iter().all(|count| count.abs_diff(30) <= 1);
    assert!(is_even, "round robin goes on as if it were alone: {requests:?}");
    let program = &changed.program;
    at_last("all choices are compared", async || {
        program.metric("wayside_shadow_policy_choices_total", "shadow=\"random\"").await == 90.0
    })
    .await;
    let told = program.ask_json("/services/a").await;
    let shadow = &told["claims"][0]["shadow"];
    let [same, different] = ["same", "different"].map(|choice| shadow[choice].as_u64().unwrap());
    assert_eq!((shadow["policy"].as_str(), same + different), (Some("random"), 90), "{shadow}");
    // A third of ninety; ten of either would be chance once in a hundred thousand runs.
    assert!(same > 10 && different > 10, "{shadow}");
    let chosen = shadow["chosen"].as_object().unwrap();
    assert_eq!(chosen.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 90);
    let choices = program.metric("wayside_shadow_policy_choices_total", "choice=\"different\"").await;
    assert_eq!(choices, different as f64);
    let chosen =
        program.metric("wayside_shadow_policy_endpoint_choices_total", "policy=\"round-robin\"").await;
    assert_eq!(chosen, 90.0);
}
