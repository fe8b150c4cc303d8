//! Which requests are sampled, what is lost, and what the settings may say.

use std::time::SystemTime;

use super::*;

fn tracer(sample: f64, queue: usize) -> (Arc<Tracer>, Queue, Arc<Metrics>) {
    let metrics = Metrics::new();
    let endpoint = Some("http://127.0.0.1:4318".parse().unwrap());
    let settings = Settings { endpoint, sample, queue, ..Settings::default() };
    let (tracer, queue) = Tracer::new(&settings, &metrics);
    (tracer, queue.unwrap(), metrics)
}

#[test]
fn a_share_is_sampled_by_the_id() {
    let ids = || {
        (0..10_000_u128).map(|number| TraceId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)))
    };
    for (share, least, most) in [(0.0, 0, 0), (0.25, 2_300, 2_700), (1.0, 10_000, 10_000)] {
        let (tracer, ..) = tracer(share, 1);
        let sampled = ids().filter(|id| tracer.samples(*id)).count();
        assert!((least..=most).contains(&sampled), "{share}: {sampled}");
    }
    assert!(!Tracer::default().samples(TraceId(0)), "nothing where it is off");
}

#[test]
fn what_does_not_fit_is_counted() {
    let (tracer, mut queue, metrics) = tracer(1.0, 2);
    let span = || Box::new(Span::new(Context::test(1, 2), Kind::Server, "GET", SystemTime::UNIX_EPOCH));
    (0..5).for_each(|_| tracer.take(span()));
    assert_eq!(metrics.traces.dropped_total.get(), 3);
    assert!(queue.try_recv().is_ok() && queue.try_recv().is_ok() && queue.try_recv().is_err());
}

#[test]
fn endpoints_and_credentials_are_read() {
    for good in ["http://127.0.0.1:4318", "https://collector.example/otlp"] {
        assert_eq!(good.parse::<Endpoint>().unwrap().to_string().trim_end_matches('/'), good);
    }
    for bad in ["127.0.0.1:4318", "ftp://a", "http://", "/v1/traces", "http://user:secret@a"] {
        assert_eq!(bad.parse::<Endpoint>(), Err(EndpointError), "{bad}");
    }
    let auth = |text: &str| {
        text.parse::<Auth>().map(|auth| (auth.name.to_string(), auth.value.to_str().unwrap().to_owned()))
    };
    assert_eq!(auth("Bearer a"), Ok(("authorization".to_owned(), "Bearer a".to_owned())));
    assert_eq!(auth("x-api-key: a: b"), Ok(("x-api-key".to_owned(), "a: b".to_owned())));
    assert_eq!(auth("a\nb"), Err(AuthError));
    assert_eq!(format!("{:?}", "Bearer a".parse::<Auth>().unwrap()), "Auth(authorization: ***)");
}
