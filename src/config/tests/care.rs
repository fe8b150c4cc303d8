//! How endpoints are treated: what a service says departs from what is usual, key by key.

use super::*;
use crate::endpoint::{Adaptive, Care, Ejecting, Queue};

fn cares(text: &str) -> catalog::Cares {
    read(None, &format!("{REGISTRY}\n{text}"), &Overrides::default()).unwrap().cares
}

fn of(cares: &catalog::Cares, service: &str) -> Care {
    Care::clone(cares.of(&service.parse().unwrap()))
}

#[test]
fn nothing_said_is_what_is_usual() {
    let cares = cares("[[service]]\nname = \"a\"");
    assert_eq!(*cares.usual, Care::default());
    assert!(Arc::ptr_eq(cares.of(&"a".parse().unwrap()), &cares.usual));
    assert_eq!(of(&cares, "b"), Care::default());
}

#[test]
fn a_service_departs_from_it_key_by_key() {
    let cares = cares(
        r#"
        [services.health]
        eject = false
        failures_in_a_row = 3
        pause = "2s"
        [services.limits]
        in_flight = 100
        adaptive_min = 7
        [[service]]
        name = "a"
        [service.health]
        eject = true
        pause_max = "5m"
        slow_start = false
        [service.limits]
        queue = 10
        queue_timeout = "250ms"
        adaptive = true
        [[service]]
        name = "b"
        "#,
    );
    let usual = Care { ejecting: None, in_flight_max: 100, ..Care::default() };
    assert_eq!((of(&cares, "b"), of(&cares, "c")), (usual.clone(), usual.clone()));
    let ejecting = Ejecting {
        failures_in_a_row: 3,
        pause: Duration::from_secs(2),
        pause_max: Duration::from_mins(5),
        ..Ejecting::USUAL
    };
    let a = Care {
        ejecting: Some(ejecting),
        slow_start: false,
        queue: Queue { max: 10, timeout: Duration::from_millis(250) },
        adaptive: Some(Adaptive { min: 7 }),
        ..usual
    };
    assert_eq!(of(&cares, "a"), a);
}

#[test]
fn what_is_in_force_reads_back() {
    let text = format!(
        "{REGISTRY}\n[services.limits]\nqueue = 5\n[[service]]\nname = \"a\"\n[service.limits]\nqueue = 7\n[[service]]\nname = \"b\"\n"
    );
    let config = read(None, &text, &Overrides::default()).unwrap();
    let again = read(None, config.to_toml(), &Overrides::default()).unwrap();
    assert_eq!(again.cares, config.cares);
    assert_eq!(of(&config.cares, "a").queue.max, 7);
    assert_eq!(of(&config.cares, "b").queue.max, 5);
}

#[test]
fn mistakes_name_the_key_and_the_cure() {
    let said = |text: &str| {
        read(None, &format!("{REGISTRY}\n{text}"), &Overrides::default()).unwrap_err().to_string()
    };
    for (text, words) in [
        (
            "[services.health]\npause = \"2m\"",
            &["services.health.pause", "write pause_max = \"2m\" or more"][..],
        ),
        (
            "[[service]]\nname = \"a\"\n[service.health]\npause_max = \"500ms\"",
            &["service.health.pause_max", "1s"],
        ),
        ("[services.health]\nejected_percent = 101", &["services.health.ejected_percent", "0 to 100"]),
        ("[services.health]\nwindow = \"1ms\"", &["services.health.window", "100ms to 1h"]),
        ("[services.limits]\nin_flight = 0", &["services.limits.in_flight", "1 to 1000000"]),
        (
            "[services.limits]\nadaptive = true\nadaptive_min = 9\nin_flight = 8",
            &["adaptive_min", "write 8 or less"],
        ),
        ("[services.limits]\nqueu = 1", &["services.limits.queu", "write queue"]),
        ("[services.health]\nslow_start = \"1s\"", &["services.health.slow_start", "true or false"]),
    ] {
        let said = said(text);
        assert!(words.iter().all(|word| said.contains(word)), "{text}: {said}");
    }
}
