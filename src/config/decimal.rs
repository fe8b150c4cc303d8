//! Numbers that need not be whole.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::file::{Entry, Node};
use super::value::{Problems, Shape};

/// A number in a range, whole or not.
pub(super) struct Decimal(pub(super) RangeInclusive<f64>);

impl Shape for Decimal {
    type Out = f64;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<f64> {
        let number = match &entry.node {
            Node::Integer(Ok(number)) => Some(*number as f64),
            Node::Fraction(digits) => digits.replace('_', "").parse::<f64>().ok(),
            Node::Integer(Err(_))
            | Node::Text(_)
            | Node::Flag(_)
            | Node::Date(_)
            | Node::List(_)
            | Node::Table(_) => None,
        };
        // What is no number at all, such as nan, is in no range.
        if let Some(number) = number.filter(|number| self.0.contains(number)) {
            return Some(number);
        }
        let wrong = if number.is_some() { "is out of range" } else { "is no number" };
        let quotes = if entry.node.as_text().is_some() { ", without quotes" } else { "" };
        let (shown, least, most) = (entry.node.shown(), self.0.start(), self.0.end());
        problems
            .push((entry.place, format!("{shown} {wrong}; write a number from {least} to {most}{quotes}")));
        None
    }

    fn write(&self, value: &f64) -> String {
        // What is nothing has no sign, with which it would read back as a whole number without one.
        (value + 0.0).to_string()
    }

    fn schema(&self) -> Value {
        json!({ "type": "number", "minimum": self.0.start(), "maximum": self.0.end() })
    }
}
