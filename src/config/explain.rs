//! What is remembered of requests, so that it can be explained.

use std::ops::RangeInclusive;

use super::decimal::Decimal;
use super::reader::Section;
use super::resolve::SOME_TIME;
use super::value::Number;
use crate::proxy::Remembering;
use crate::route::Share;

/// Requests that are remembered at once: some kilobytes each.
const MOST: RangeInclusive<usize> = 0..=100_000;

/// Reads `[explain]`.
pub(super) fn explain(section: &mut Section<'_>) -> Remembering {
    let default = Remembering::default();
    Remembering {
        most: section.get("remember", &Number(MOST), default.most),
        sample: Share::percent(section.get(
            "sample_percent",
            &Decimal(0.0..=100.0),
            default.sample.to_percent(),
        )),
        slow: section.get("slow", &SOME_TIME, default.slow),
    }
}
