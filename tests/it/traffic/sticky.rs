//! Sticky sessions: a cookie holds the provider, which nobody but the client sees, and is written anew when that is gone.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use wayside::telemetry::metrics::HedgeResult;

use super::{ask, port, provider, proxied, registry};
use crate::support::modelled::Modelled;
use crate::support::provider::{Echo, told, told_header};

const STICKY: &str = "[[service]]\nname = \"a\"\nsticky = { cookie = \"w\", ttl = \"1h\" }\n";

fn set(response: &Response<Bytes>) -> Option<&str> {
    response.headers().get("set-cookie").map(|set| set.to_str().unwrap())
}

/// What a browser sends back of a cookie that is set.
fn kept(set: &str) -> String {
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_session_stays_until_its_provider_is_gone() {
    let mut echoes = Echo::several(4).await;
    let providers: Vec<String> = echoes.iter().map(|echo| provider(echo, "")).collect();
    let (_proxy, mut client) = proxied(&(registry(&[("a", &providers)]) + STICKY)).await;
    let first = ask(&mut client, &[]).await;
    let cookie = set(&first).unwrap();
    assert!(cookie.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"), "{cookie}");
    let session = format!("b=1; {}; c=2", kept(cookie));
    for _ in 0..20 {
        let again = ask(&mut client, &[("cookie", &session)]).await;
        assert_eq!((port(&again), set(&again)), (port(&first), None));
        assert_eq!(told_header(&told(&again), "cookie"), ["b=1; c=2"], "it is no business of the provider");
    }
    let gone = echoes.iter().position(|echo| echo.address().port() == port(&first)).unwrap();
    echoes.remove(gone).kill().await;
    let moved = ask(&mut client, &[("cookie", &session)]).await;
    assert!(moved.status() == 200 && port(&moved) != port(&first));
    let session = kept(set(&moved).expect("the session is told of its new provider"));
    for _ in 0..20 {
        assert_eq!(port(&ask(&mut client, &[("cookie", &session)]).await), port(&moved));
    }
}

#[tokio::test]
async fn what_is_no_cookie_of_ours_gets_one_and_https_makes_it_secure() {
    let echoes = Echo::several(2).await;
    let providers: Vec<String> = echoes.iter().map(|echo| provider(echo, "")).collect();
    let (_proxy, mut client) = proxied(&(registry(&[("a", &providers)]) + STICKY)).await;
    for cookie in ["w=", "w=nonsense", "w=0123456789abcdef", "w=0123456789abcdef-00000000"] {
        let response = ask(&mut client, &[("cookie", cookie), ("x-forwarded-proto", "https")]).await;
        assert!(set(&response).unwrap().ends_with("; Secure"), "{cookie}");
        assert!(told_header(&told(&response), "cookie").is_empty());
    }
}

#[tokio::test]
async fn a_session_stays_in_its_part_of_a_split() {
    let echoes = Echo::several(4).await;
    let providers: Vec<String> = (1..)
        .zip(&echoes)
        .map(|(number, echo)| provider(echo, &format!("version = \"{}\"", number % 2)))
        .collect();
    let text = registry(&[("a", &providers)])
        + "[[route]]\nservice = \"a\"\nsticky = { cookie = \"w\" }\n\
           split = [{ version = \"0\", weight = 1 }, { version = \"1\", weight = 1 }]\n";
    let (_proxy, mut client) = proxied(&text).await;
    for _ in 0..10 {
        let first = ask(&mut client, &[]).await;
        let session = kept(set(&first).unwrap());
        for _ in 0..10 {
            let again = ask(&mut client, &[("cookie", &session)]).await;
            assert_eq!((port(&again), set(&again)), (port(&first), None));
        }
    }
}

#[tokio::test]
async fn a_session_waits_for_its_provider_and_others_have_a_second_one_asked() {
    let providers = Modelled::several(2, Duration::ZERO).await;
    let text = format!(
        "[registry]\nurl = \"{}\"\n[[service]]\nname = \"a\"\nhedge = \"20ms\"\nsticky = {{ cookie = \"w\" }}\n",
        Modelled::url("a", &providers)
    );
    let (proxy, mut client) = proxied(&text).await;
    let session = kept(set(&ask(&mut client, &[]).await).unwrap());
    for provider in &providers {
        provider.takes(Duration::from_millis(100));
    }
    let hedges = &proxy.metrics.proxy.hedges_total;
    let asked =
        || [HedgeResult::Won, HedgeResult::Lost].map(|result| hedges.of(result).get()).iter().sum::<u64>();
    // The request that began the session may have been late as well.
    let hedged = asked();
    let before = providers.iter().map(Modelled::requests).sum::<usize>();
    for _ in 0..5 {
        let again = ask(&mut client, &[("cookie", &session)]).await;
        assert_eq!((again.status().as_u16(), set(&again)), (200, None));
    }
    assert_eq!(asked(), hedged);
    assert_eq!(providers.iter().map(Modelled::requests).sum::<usize>(), before + 5);
    let fresh = ask(&mut client, &[]).await;
    assert!(fresh.status() == 200 && set(&fresh).is_some());
    assert_eq!(asked(), hedged + 1);
}
