//! The story of a pick: its course in sentences.

use std::collections::HashMap;

use crate::balance::Step;
use crate::catalog::scene::Figure;

/// The course of a pick, a sentence for each step.
pub fn story(steps: &[Step], figures: &[Figure]) -> Vec<String> {
    let names: HashMap<u64, String> =
        figures.iter().map(|figure| (figure.number, figure.provider.address.to_string())).collect();
    let name = |number: &u64| names.get(number).cloned().unwrap_or_else(|| format!("endpoint {number}"));
    let sentence = |step: &Step| match step {
        Step::Tier(0) => "it fell to the nearest tier".to_owned(),
        Step::Tier(number) => format!("it fell to tier {number}, since nearer ones cannot take all"),
        Step::Turn(ticket) => format!("the order had turn {ticket}"),
        Step::Compared([(one, cost), (other, against)]) if one == other => {
            format!("{} was drawn twice, at a cost of {cost:.2} and {against:.2}", name(one))
        }
        Step::Compared([(one, cost), (other, against)]) => {
            let better = if cost <= against { one } else { other };
            let (first, second) = (name(one), name(other));
            format!(
                "of {first}, which costs {cost:.2}, and {second}, which costs {against:.2}: {}",
                name(better)
            )
        }
        Step::Proposed(number, word) => format!("{} was proposed: {}", name(number), meaning(word)),
        Step::Wished => "the request says where it wants to go".to_owned(),
        Step::Searched => "no proposal led to one, so all endpoints were looked at".to_owned(),
    };
    steps.iter().map(sentence).collect()
}

/// What a word of a proposal means.
fn meaning(word: &'static str) -> &'static str {
    match word {
        "ready" => "it is ready",
        "deferred" => "it asked for less, or is new or just back, and comes last",
        "full" => "it has as much in flight as it may have",
        "out" => "it is out",
        "tried" => "this request had tried it",
        _ => word,
    }
}
