//! What is measured between two looks, chosen by keys, and drawn.

use std::time::Instant;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::seen::{Detail, Endpoint, Freshness, Overview, Registry, Service};
use super::super::table::Line;
use super::*;
use crate::telemetry::metrics::Scrape;

fn service(name: &str, available: usize, endpoints: usize, in_flight: u64) -> Service {
    let state = if name == "orders" { "stale" } else { "live" };
    let freshness = Freshness { state: state.to_owned(), ..Freshness::default() };
    Service { name: name.to_owned(), available, endpoints, in_flight, freshness, ..Service::default() }
}

/// A look, so many seconds after the first, at which each service had had so many hundred requests.
fn looked(first: Instant, seconds: u64, hundreds: u64) -> Look {
    let registry = Registry {
        name: "zookeeper".to_owned(),
        kind: "zookeeper".to_owned(),
        location: "10.0.0.1:2181".to_owned(),
        state: "up".to_owned(),
        for_ms: 7_300_000,
        ..Registry::default()
    };
    let services = vec![service("users", 3, 3, 2), service("billing", 0, 2, 0), service("orders", 1, 4, 7)];
    let mut text = String::from("wayside_build_info{version=\"0.1.0\"} 1\nprocess_start_time_seconds 0\n");
    for (name, factor, slow) in [("users", 1, 0), ("billing", 4, 4), ("orders", 20, 1)] {
        let all = hundreds * 100 * factor;
        let failed = hundreds * slow * factor;
        text.push_str(&format!(
            "wayside_requests_total{{class=\"2xx\",reason=\"\",service=\"{name}\"}} {}\n\
             wayside_requests_total{{class=\"5xx\",reason=\"\",service=\"{name}\"}} {failed}\n\
             wayside_request_duration_seconds_bucket{{service=\"{name}\",le=\"0.005\"}} {}\n\
             wayside_request_duration_seconds_bucket{{service=\"{name}\",le=\"2.5\"}} {all}\n\
             wayside_request_duration_seconds_bucket{{service=\"{name}\",le=\"+Inf\"}} {all}\n",
            all - failed,
            all - failed
        ));
    }
    let endpoint = |port: u64, state: &str, why: Option<&str>| Endpoint {
        address: format!("10.0.0.{port}:8080"),
        state: state.to_owned(),
        why: why.map(str::to_owned),
        weight: 1.0,
        latency_ms: Some(1.5),
        in_flight: port,
        attempts: hundreds * 100 * port,
        failures: hundreds * port,
        zone: (port == 1).then(|| "eu-1a".to_owned()),
        ..Endpoint::default()
    };
    let endpoints = vec![
        endpoint(1, "available", None),
        endpoint(2, "unreachable", Some("connections failed, 4 in a row")),
        endpoint(3, "ejected", Some("5 failures in a row, the last: an answer of 503")),
        endpoint(4, "limbo", Some("its session ended")),
    ];
    Look {
        at: first + Duration::from_secs(seconds),
        overview: Overview { registries: vec![registry], services },
        scrape: Scrape::parse(&text),
        opened: Some(("orders".to_owned(), Some(Detail { endpoints, skipped: Vec::new() }))),
    }
}

fn measured() -> Measured {
    let first = Instant::now();
    Measured::between(&looked(first, 0, 1), &looked(first, 2, 3))
}

fn drawn(
    measured: &Measured,
    state: &mut State,
    trouble: Option<&str>,
    (width, height): (usize, usize),
) -> String {
    let screen = Screen { measured, admin: "127.0.0.1:4141", interval: Duration::from_secs(2), trouble };
    let lines = screen.lines(state, width, height);
    assert!(lines.len() <= height, "{}", lines.len());
    let widths = lines.iter().map(|line| line.0.iter().map(|piece| piece.width()).sum::<usize>());
    assert!(widths.max().unwrap_or_default() <= width);
    lines.iter().map(Line::bare).collect::<Vec<_>>().join("\n")
}

fn press(state: &mut State, measured: &Measured, keys: &[KeyCode]) -> Step {
    keys.iter().map(|key| state.press(KeyEvent::new(*key, KeyModifiers::NONE), measured)).last().unwrap()
}

#[test]
fn rates_are_those_between_two_looks() {
    let measured = measured();
    let row = |name: &str| measured.services.iter().find(|row| row.name == name).unwrap();
    assert_eq!((row("users").rate, row("users").failed_share), (100.0, Some(0.0)));
    assert_eq!((row("billing").rate, row("billing").failed_share), (400.0, Some(0.04)));
    assert!(
        row("billing").p99_s.unwrap() > 1.0 && row("billing").p50_s.unwrap() < 0.005,
        "{:?}",
        row("billing")
    );
    let endpoints = &measured.opened.as_ref().unwrap().1;
    assert_eq!((endpoints[1].rate, endpoints[1].failed_share), (200.0, Some(0.01)));
    let (all, failed) = measured.total();
    assert_eq!(all, 2500.0);
    assert!((failed.unwrap() - 36.0 / 2500.0).abs() < 1e-9, "{failed:?}");
    // A first look knows no rates, nor one that comes before workers have told what they counted.
    let first = looked(Instant::now(), 0, 5);
    assert_eq!(Measured::between(&first, &first).total(), (0.0, None));
    let soon = Look { at: first.at + INTERVAL_MIN / 2, ..looked(first.at, 0, 9) };
    assert_eq!(Measured::between(&first, &soon).total(), (0.0, None));
}

#[test]
fn services_and_providers_are_drawn() {
    let measured = measured();
    let mut state = State::new(Sort::Rate);
    insta::assert_snapshot!("services_80", drawn(&measured, &mut state, None, (80, 10)));
    insta::assert_snapshot!("services_50", drawn(&measured, &mut state, None, (50, 10)));
    let trouble = Some("no Wayside listens at 127.0.0.1:4141: Connection refused (os error 111)");
    insta::assert_snapshot!("services_trouble", drawn(&measured, &mut state, trouble, (100, 10)));
    assert_eq!(press(&mut state, &measured, &[KeyCode::Enter, KeyCode::Down]), Step::Draw);
    insta::assert_snapshot!("providers_80", drawn(&measured, &mut state, None, (80, 12)));
    let screen =
        Screen { measured: &measured, admin: "a:1", interval: Duration::from_secs(2), trouble: None };
    let whole = screen.whole(&State::new(Sort::Name), 80);
    insta::assert_snapshot!("once_80", whole.iter().map(Line::bare).collect::<Vec<_>>().join("\n"));
    for size in [(1, 1), (10, 3), (80, 5), (300, 100)] {
        drawn(&measured, &mut state, None, size);
    }
    drawn(&Measured::default(), &mut State::new(Sort::Name), None, (80, 24));
}

#[test]
fn keys_choose_order_open_and_end() {
    let measured = measured();
    let mut state = State::new(Sort::Rate);
    let names = |state: &State| state.names(&measured).join(" ");
    assert_eq!(names(&state), "orders billing users");
    press(&mut state, &measured, &[KeyCode::Char('r')]);
    assert_eq!(names(&state), "users billing orders");
    press(&mut state, &measured, &[KeyCode::Char('r'), KeyCode::Char('s')]);
    assert_eq!((state.sort, names(&state)), (Sort::Failed, "billing orders users".to_owned()));
    // The row stays with its service when the order changes.
    press(
        &mut state,
        &measured,
        &[KeyCode::Down, KeyCode::Char('s'), KeyCode::Char('s'), KeyCode::Char('s'), KeyCode::Char('s')],
    );
    assert_eq!((state.sort, names(&state)), (Sort::Name, "billing orders users".to_owned()));
    assert_eq!(state.at(&state.names(&measured)), 1);
    press(&mut state, &measured, &[KeyCode::End, KeyCode::Down]);
    assert_eq!(state.at(&state.names(&measured)), 2);
    press(&mut state, &measured, &[KeyCode::Home, KeyCode::Up]);
    assert_eq!(state.at(&state.names(&measured)), 0);
    press(
        &mut state,
        &measured,
        &[KeyCode::Char('/'), KeyCode::Char('q'), KeyCode::Backspace, KeyCode::Char('O'), KeyCode::Char('r')],
    );
    assert_eq!((state.is_typing, names(&state)), (true, "orders".to_owned()));
    assert_eq!(press(&mut state, &measured, &[KeyCode::Enter, KeyCode::Enter]), Step::Look);
    assert_eq!(state.open.as_deref(), Some("orders"));
    assert!(names(&state).starts_with("10.0.0.1:8080 "), "{}", names(&state));
    press(&mut state, &measured, &[KeyCode::Esc]);
    assert_eq!((state.open.as_deref(), names(&state)), (None, "orders".to_owned()));
    press(&mut state, &measured, &[KeyCode::Esc]);
    assert_eq!(names(&state), "billing orders users");
    assert_eq!(press(&mut state, &measured, &[KeyCode::Char('q')]), Step::Quit);
    assert_eq!(state.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), &measured), Step::Quit);
}

#[test]
fn an_interval_has_a_unit_and_is_not_too_short() {
    assert_eq!(interval("1500ms"), Ok(Duration::from_millis(1500)));
    assert!(interval("2").unwrap_err().contains("write it as"));
    assert!(interval("500ms").unwrap_err().contains("at least 1s"));
}
