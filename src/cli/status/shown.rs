//! One look as text: what is ill, what is noticed, registries, services.

use anstyle::Style;

use super::super::amounts::{count, share, span, span_ms};
use super::super::color::{BAD, FAIR, GOOD, TITLE, of_state};
use super::super::seen::{Registry, Service};
use super::super::table::{self, Column, Line, Piece};
use super::Seen;
use super::findings::Finding;

/// Services shown where not all are asked for.
pub(super) const SERVICES_MAX: usize = 20;

/// The lines, broken where they are wider than `width`.
pub(super) fn lines(seen: &Seen, services: usize, width: usize) -> Vec<Line> {
    let mut lines = vec![headline(seen)];
    for (title, style, findings) in
        [("ILL", BAD, &seen.findings.ill), ("NOTICED", FAIR, &seen.findings.noticed)]
    {
        if !findings.is_empty() {
            lines.extend([Line::default(), Line(vec![Piece::new(style, title)])]);
            lines.extend(findings.iter().flat_map(|finding| found(finding, style, width)));
        }
    }
    lines.push(Line::default());
    if seen.registries.is_empty() {
        lines.push(Line::plain("no registry is followed"));
    } else {
        let columns = [
            Column::left("REGISTRY"),
            Column::left("STATE"),
            Column::right("SINCE"),
            Column::left("ROLE"),
            Column::left("DETAIL"),
        ];
        let rows = seen.registries.iter().map(registry).collect();
        lines.extend(table::lines(&columns, TITLE, rows, width).into_iter().map(|line| line.cut(width)));
    }
    lines.push(Line::default());
    lines.extend(service_lines(&seen.services, services, width));
    lines
}

fn headline(seen: &Seen) -> Line {
    let proxy = &seen.proxy;
    let mut line = Line::default();
    line.push(TITLE, format!("wayside {}", proxy.version).trim().to_owned());
    let up = proxy
        .up_s
        .map(|s| format!(", up for {}", span(std::time::Duration::from_secs(s))))
        .unwrap_or_default();
    line.push(Style::new(), format!(" at {}{up}: ", proxy.admin));
    match seen.findings.ill.len() {
        0 => line.push(GOOD, "all is well"),
        1 => line.push(BAD, "1 thing is ill"),
        count => line.push(BAD, format!("{count} things are ill")),
    }
    line
}

fn found(finding: &Finding, style: Style, width: usize) -> Vec<Line> {
    let Finding { of, name, what, details } = finding;
    let subject = match (*of, name.as_str()) {
        (_, "") => String::new(),
        ("registry", name) => format!("registry {name}: "),
        (_, name) => format!("{name}: "),
    };
    let mut first = Line::plain("  ");
    first.push(style, subject);
    first.push(Style::new(), what);
    let mut lines = vec![first];
    lines.extend(details.iter().flat_map(|detail| wrapped(detail, "      ", width)).map(Line::plain));
    lines
}

/// A text in lines of this width, as far as its words allow, each with this before it.
fn wrapped(text: &str, before: &str, width: usize) -> Vec<String> {
    let mut lines = vec![before.to_owned()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one from the start");
        let is_first = line.len() <= before.len();
        if !is_first && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("{before}  {word}"));
        } else {
            line.push_str(if is_first { "" } else { " " });
            line.push_str(word);
        }
    }
    lines
}

fn registry(registry: &Registry) -> Vec<Piece> {
    vec![
        Piece::plain(registry.title()),
        Piece::new(of_state(&registry.state), &registry.state),
        Piece::plain(span_ms(registry.for_ms)),
        Piece::plain(&registry.role),
        Piece::plain(registry.detail.clone().unwrap_or_default()),
    ]
}

fn service_lines(services: &[Service], most: usize, width: usize) -> Vec<Line> {
    if services.is_empty() {
        return vec![Line::plain(
            "no service is followed: one is from its first request on, or when it is declared",
        )];
    }
    let mut sorted: Vec<&Service> = services.iter().collect();
    sorted.sort_by_key(|service| (rank(service), std::cmp::Reverse(service.attempts)));
    let columns = [
        Column::left("SERVICE"),
        Column::left("LIST"),
        Column::right("USED"),
        Column::right("IN FLIGHT"),
        Column::right("ATTEMPTS"),
        Column::right("FAILED"),
    ];
    let rows = sorted.iter().take(most).map(|service| row(service)).collect();
    let mut lines = table::lines(&columns, TITLE, rows, width);
    if sorted.len() > most {
        let more = count(sorted.len() - most, "more service");
        lines.push(Line::plain(format!("{more}: see all with --all")));
    }
    lines
}

/// How far up a service stands: nobody used, somebody left alone, a list that is not fresh, all well.
fn rank(service: &Service) -> usize {
    let is_live = service.freshness.state == "live";
    match service.available {
        0 => 0,
        available if available < service.endpoints => 1,
        _ if !is_live => 2,
        _ => 3,
    }
}

fn row(service: &Service) -> Vec<Piece> {
    let used = format!("{} of {}", service.available, service.endpoints);
    let style = [BAD, FAIR, Style::new(), Style::new()][rank(service)];
    #[expect(clippy::cast_precision_loss, reason = "counts of attempts are far below 2^53")]
    let failed = (service.attempts > 0).then(|| service.failures as f64 / service.attempts as f64);
    vec![
        Piece::plain(&service.name),
        Piece::new(of_state(&service.freshness.state), &service.freshness.state),
        Piece::new(style, used),
        Piece::plain(service.in_flight.to_string()),
        Piece::plain(service.attempts.to_string()),
        Piece::plain(share(failed)),
    ]
}
