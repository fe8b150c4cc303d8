//! How providers are chosen, as a section says it.

use serde_json::{Value, json};

use super::file::{Entry, Node};
use super::reader::Section;
use super::value::{Problems, Shape, Word, quoted};
use crate::balance::{Choice, LoadBound, Policy};

/// A policy.
const POLICY: Word<Policy> = Word(&Policy::ALL, |policy| policy.as_str());
/// A policy, or none.
const SHADOW: Word<Option<Policy>> = Word(&SHADOWS, |policy| policy.map_or(NONE, Policy::as_str));
const SHADOWS: [Option<Policy>; Policy::ALL.len() + 1] = {
    let mut shadows = [None; Policy::ALL.len() + 1];
    let mut place = 0;
    while place < Policy::ALL.len() {
        shadows[place] = Some(Policy::ALL[place]);
        place += 1;
    }
    shadows
};
/// The word for what is not wanted.
const NONE: &str = "none";

/// What a section says of it, beside what holds where it says nothing.
#[derive(Clone, Copy)]
pub(super) struct Said {
    policy: Option<Policy>,
    shadow: Option<Option<Policy>>,
    load_bound: Option<Option<LoadBound>>,
}

impl Said {
    /// Reads it; `absent` says where it is said otherwise.
    pub(super) fn read(section: &mut Section<'_>, absent: &'static str) -> Self {
        Self {
            policy: section.optional("policy", &POLICY, absent),
            shadow: section.optional("shadow_policy", &SHADOW, absent),
            load_bound: section.optional("load_bound", &Factor, absent),
        }
    }

    /// The choice, where `otherwise` holds as far as the section says nothing.
    pub(super) fn over(self, section: &Section<'_>, otherwise: Choice) -> Choice {
        let policy = self.policy.unwrap_or(otherwise.policy);
        if self.load_bound.flatten().is_some() && policy != Policy::Maglev {
            let message = format!(
                "{policy} has no use for a bound; write policy = \"{}\" too, or leave load_bound out",
                Policy::Maglev
            );
            section.wrong("load_bound", message);
        }
        self.and_otherwise(otherwise)
    }

    /// The same of a claim that the section makes beside its own.
    pub(super) fn and_otherwise(self, otherwise: Choice) -> Choice {
        Choice {
            policy: self.policy.unwrap_or(otherwise.policy),
            shadow: self.shadow.unwrap_or(otherwise.shadow),
            load_bound: self.load_bound.unwrap_or(otherwise.load_bound),
        }
    }
}

/// The choice where nothing else is said.
pub(super) fn choice(section: &mut Section<'_>) -> Choice {
    let default = Choice::default();
    Choice {
        policy: section.get("policy", &POLICY, default.policy),
        shadow: section.get("shadow_policy", &SHADOW, default.shadow),
        load_bound: section.get("load_bound", &Factor, default.load_bound),
    }
}

/// A factor above 1, or `"none"`.
struct Factor;

impl Shape for Factor {
    type Out = Option<LoadBound>;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Option<LoadBound>> {
        let bound = match &entry.node {
            Node::Text(text) if text == NONE => return Some(None),
            Node::Integer(Ok(number)) => number.to_string().parse().ok(),
            Node::Fraction(text) => text.parse().ok(),
            Node::Text(_)
            | Node::Integer(Err(_))
            | Node::Flag(_)
            | Node::Date(_)
            | Node::List(_)
            | Node::Table(_) => None,
        };
        if bound.is_none() {
            let shown = entry.node.shown();
            let message = format!("{shown} is no bound; write a number from 1.01 to 100, or \"none\"");
            problems.push((entry.place, message));
        }
        bound.map(Some)
    }

    fn write(&self, value: &Option<LoadBound>) -> String {
        value.as_ref().map_or_else(|| quoted(NONE), LoadBound::to_string)
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "type": "number", "minimum": 1.01, "maximum": 100 }, { "const": NONE }] })
    }
}
