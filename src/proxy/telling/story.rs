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
    let mut told = Vec::new();
    let mut rest = steps;
    while let Some(step) = rest.first() {
        let alike = turns_alike(rest);
        if let [.., (last, _)] = alike.as_slice()
            && let (Step::Turn(first), Some(Step::Proposed(_, word)), true) =
                (step, rest.get(1), alike.len() > 1)
        {
            let mut who: Vec<String> = alike.iter().map(|(_, number)| name(number)).collect();
            who.sort();
            who.dedup();
            told.push(format!("the order had the turns {first} to {last}"));
            told.push(match who.as_slice() {
                [one] => format!("{one} was proposed each time: {}", meaning(word)),
                several => format!("{} were proposed, and of each: {}", several.join(", "), meaning(word)),
            });
            rest = &rest[2 * alike.len()..];
        } else {
            told.push(sentence(step));
            rest = &rest[1..];
        }
    }
    told
}

/// The turns at the start of which the proposals came to the same: each with the endpoint that it proposed.
fn turns_alike(steps: &[Step]) -> Vec<(u64, u64)> {
    let pairs = steps.chunks_exact(2).map_while(|pair| match pair {
        [Step::Turn(ticket), Step::Proposed(number, word)] => Some((*ticket, *number, *word)),
        _ => None,
    });
    let mut same = None;
    pairs
        .take_while(|(_, _, word)| *same.get_or_insert(*word) == *word)
        .map(|(ticket, number, _)| (ticket, number))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_that_come_to_the_same_are_told_once() {
        let tried = |ticket, number| [Step::Turn(ticket), Step::Proposed(number, "tried")];
        let of = |steps: &[[Step; 2]]| story(steps.as_flattened(), &[]);
        assert_eq!(
            of(&[tried(1, 7)]),
            ["the order had turn 1", "endpoint 7 was proposed: this request had tried it"]
        );
        assert_eq!(
            of(&[tried(1, 7), tried(2, 7), [Step::Turn(3), Step::Proposed(8, "ready")]]),
            [
                "the order had the turns 1 to 2",
                "endpoint 7 was proposed each time: this request had tried it",
                "the order had turn 3",
                "endpoint 8 was proposed: it is ready",
            ]
        );
        let told = of(&[tried(4, 8), tried(5, 7), tried(6, 8)]);
        assert_eq!(told[1], "endpoint 7, endpoint 8 were proposed, and of each: this request had tried it");
    }
}
