//! Explanations as people read them: first where it goes, then why, then who else there was.

use std::fmt::Write as _;

use super::Replayed;
use crate::proxy::explain::{CandidateDocument, Explanation, RulesDocument};
use crate::proxy::{MadeDocument, MemoirDocument};

/// Candidates that are shown.
const SHOWN_MAX: usize = 50;

/// Lines of a name and what is to be said of it.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, name: &str, text: impl AsRef<str>) {
        // What is written to a text is always written.
        let _ = writeln!(self.0, "  {name:<9} {}", plain(text.as_ref()));
    }

    fn lines(&mut self, name: &str, texts: &[String]) {
        for (at, text) in texts.iter().enumerate() {
            self.line(if at == 0 { name } else { "" }, text);
        }
    }

    fn title(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.0, "{}", plain(text.as_ref()));
    }
}

/// A text without what would steer the terminal: records and requests are written by others, and so is a file that is replayed.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Where a request would go, and why.
pub(super) fn present(told: &Explanation) -> String {
    let mut page = Page::default();
    let host = told.host.as_deref().unwrap_or_default();
    page.title(format!("{} http://{host}{}", told.method, told.path));
    let service = told.stands_in.as_ref().or(told.service.as_ref());
    let of = service.map(|service| format!(" of {service}")).unwrap_or_default();
    match (&told.picked, &told.nothing, &told.refused) {
        (Some(picked), ..) => page.line("goes to", format!("{picked}{of}")),
        (None, Some(nothing), _) => {
            page.line("goes", format!("nowhere: {} ({})", nothing.error, nothing.reason))
        }
        (None, None, Some(refused)) => {
            page.line("refused", format!("{} ({})", refused.error, refused.reason));
        }
        (None, None, None) => page.line("goes", "nowhere"),
    }
    if let (Some(asked), Some(stands_in)) = (&told.service, &told.stands_in) {
        page.line("", format!("{stands_in} stands in, since nothing of {asked} is available"));
    }
    why(told, &mut page);
    who(told, &mut page);
    page.0
}

fn why(told: &Explanation, page: &mut Page) {
    let routes: Vec<String> = told
        .routes
        .iter()
        .map(|route| match &route.why_not {
            None => format!("{} is for it", route.name),
            Some(why) => format!("{} is not for it: {why}", route.name),
        })
        .collect();
    page.lines("route", &routes);
    if let (Some(via), Some(service)) = (&told.via, &told.service) {
        let part = told.part.as_ref().map(|part| format!(", and its part {part}")).unwrap_or_default();
        page.line("service", format!("{service}, by {via}{part}"));
        if !told.is_followed {
            page.line("", "it is not followed: the first request makes Wayside ask the registry for it");
        }
    }
    if let Some(freshness) = told.freshness.as_ref().filter(|freshness| *freshness != "live") {
        page.line("known", format!("{freshness}: see /services for why"));
    }
    if !told.subset.is_empty() {
        let wanted: Vec<String> = told.subset.iter().map(|(key, value)| format!("{key}={value}")).collect();
        page.line("subset", wanted.join(", "));
    }
    if let Some(key) = &told.key {
        page.line("key", format!("{key}, of {}", told.key_of.as_deref().unwrap_or("?")));
    }
    if let Some(wish) = &told.wish {
        page.line("wish", wish);
    }
    let several = told.tiers.len() > 1;
    let tiers: Vec<String> = told
        .tiers
        .iter()
        .filter(|tier| several || tier.panic)
        .map(|tier| {
            let panic = if tier.panic { "; too few are, so that any may be picked (panic)" } else { "" };
            let share = tier.share * 100.0;
            format!(
                "{}: {share:.0}% of the traffic, {} of {} available{panic}",
                tier.name, tier.available, tier.endpoints
            )
        })
        .collect();
    page.lines("tiers", &tiers);
    if let Some(policy) = &told.policy {
        page.line("policy", format!("{policy}, with the draw {}", told.draw));
    }
    for made in &told.choices {
        choice(made, page);
    }
    if let Some(retries) = &told.retries {
        page.line("retries", retries);
    }
    told.rules.iter().for_each(|told| rules(told, page));
}

fn rules(rules: &RulesDocument, page: &mut Page) {
    let attempt = rules.attempt_timeout_ms.map(|ms| format!(", {ms} ms for one attempt")).unwrap_or_default();
    page.line("time", format!("{} ms in all{attempt}", rules.request_timeout_ms));
    let others = [
        ("hedge", rules.hedge.clone()),
        ("rate", rules.rate_limit.clone()),
        ("failover", (!rules.failover.is_empty()).then(|| rules.failover.join(", then "))),
        ("mirror", rules.mirror.clone()),
        ("sticky", rules.sticky.as_ref().map(|cookie| format!("by the cookie {cookie}"))),
        ("fault", rules.fault.then(|| "requests are disturbed on purpose".to_owned())),
    ];
    for (name, text) in others {
        text.iter().for_each(|text| page.line(name, text));
    }
}

fn choice(made: &MadeDocument, page: &mut Page) {
    page.lines("choice", &made.course);
    match made.detour.as_deref() {
        Some("panic") => page.line("", "it fell on one that is not well, since too few are"),
        Some("spill") => page.line("", "nearer tiers cannot take all"),
        Some(other) => page.line("", other),
        None => {}
    }
    if let Some(nothing) = &made.nothing {
        page.line("", format!("nobody: {nothing}"));
    }
}

fn who(told: &Explanation, page: &mut Page) {
    if !told.candidates.is_empty() {
        page.title("candidates");
    }
    let width = told.candidates.iter().map(|candidate| candidate.address.len()).max().unwrap_or_default();
    // The one that was picked is never among those left out here.
    let (picked, others): (Vec<_>, Vec<_>) = told.candidates.iter().partition(|candidate| candidate.picked);
    for candidate in picked.iter().chain(&others).take(SHOWN_MAX) {
        page.title(row(candidate, width));
    }
    if told.candidates.len() > SHOWN_MAX {
        page.title(format!("  and {} more: see --json", told.candidates.len() - SHOWN_MAX));
    }
    if !told.left_out.is_empty() {
        page.title("left out");
    }
    for left_out in told.left_out.iter().take(SHOWN_MAX) {
        page.title(format!("    {}: {}", left_out.name, left_out.why));
    }
}

fn row(candidate: &CandidateDocument, width: usize) -> String {
    let CandidateDocument { address, weight, state, in_flight, latency_ms, why_not, picked, .. } = candidate;
    let mark = if *picked { '>' } else { ' ' };
    let latency = latency_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
    let why = why_not.as_ref().map(|why| format!("  {why}")).unwrap_or_default();
    format!(
        "  {mark} {address:<width$}  {state:<11}  weight {weight:<5}  {in_flight:>3} in flight  {latency:>10}{why}"
    )
}

/// What is remembered of a request.
pub(super) fn past(told: &MemoirDocument) -> String {
    let mut page = Page::default();
    let asked = match (&told.method, &told.host, &told.path) {
        (Some(method), host, Some(path)) => {
            format!("{method} http://{}{path}", host.as_deref().unwrap_or_default())
        }
        _ => "a request".to_owned(),
    };
    let why = match told.remembered.as_str() {
        "sampled" => "was of the sample",
        "slow" => "was slow",
        "retried" => "was tried again",
        other => other,
    };
    page.title(format!("{asked}  (id {}, remembered since it {why})", told.id));
    let reason = told.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    page.line("answered", format!("{}{reason}, {:.1} ms in all", told.status, told.took_ms));
    if let Some(route) = &told.route {
        page.line("route", route);
    }
    if let Some(service) = &told.service {
        let via = told.via.as_deref().unwrap_or("?");
        let part = told.part.as_ref().map(|part| format!(", and its part {part}")).unwrap_or_default();
        page.line("service", format!("{service}, by {via}{part}"));
    }
    for attempt in &told.attempts {
        let how = match (attempt.status, &attempt.reason) {
            (Some(status), _) => format!("answered {status}"),
            (None, Some(reason)) => format!("failed: {reason}"),
            (None, None) => attempt.outcome.clone(),
        };
        let took = attempt.took_ms.map(|ms| format!(" after {ms:.1} ms")).unwrap_or_default();
        let (number, endpoint, service) = (attempt.number, &attempt.endpoint, &attempt.service);
        page.title(format!("attempt {number}, at {:.1} ms, at {endpoint} of {service}", attempt.begun_ms));
        page.line("ended", format!("{how}{took}"));
        attempt.choice.iter().for_each(|made| choice(made, &mut page));
        attempt.unknown.iter().for_each(|why| page.line("choice", why));
    }
    for made in &told.without_attempt {
        page.title("no attempt came of a further choice");
        choice(made, &mut page);
    }
    page.0
}

/// What came of choices that were made again.
pub(super) fn replayed(replayed: &Replayed) -> String {
    let mut page = Page::default();
    page.title(format!("the choices of {}, made again", replayed.id));
    for choice in &replayed.choices {
        let of = choice.attempt.map_or_else(|| "before".to_owned(), |number| format!("attempt {number}"));
        let verdict = if choice.same {
            format!("{}, the same as then", choice.now)
        } else {
            format!("{}, and not as then: {}", choice.now, choice.then)
        };
        page.line(&of, verdict);
        page.lines("", &choice.course);
    }
    for (attempt, why) in &replayed.unknown {
        page.line(&format!("attempt {attempt}"), format!("cannot be made again: {why}"));
    }
    page.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::explain::LeftOutDocument;

    #[test]
    fn nothing_that_a_record_says_steers_the_terminal() {
        let record = LeftOutDocument { name: "a\u{1b}]0;b\u{7}".to_owned(), why: "c\u{9b}2J\nd".to_owned() };
        let told = Explanation { left_out: vec![record], ..Explanation::default() };
        let shown = present(&told);
        assert!(shown.ends_with("    a\u{fffd}]0;b\u{fffd}: c\u{fffd}2J\u{fffd}d\n"), "{shown}");
    }
}
