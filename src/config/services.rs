//! How services are followed, and what holds of those that nothing is declared of.

use std::time::Duration;

use super::care::Treatment;
use super::checks::{self, ServiceChecks};
use super::choices::choice;
use super::reader::Section;
use super::resolve::{ANY_TIME, COUNT, SOME_TIME};
use super::value::{Flag, Number, Time};
use crate::balance::Choice;
use crate::catalog;

/// How long a ghost must have been silent to be deleted: long enough for any restart.
const REAP_TIME: Time = Time(Duration::from_secs(10)..=Duration::from_hours(24 * 30));
/// How long changes may be gathered.
const SETTLE_TIME: Time = Time(Duration::ZERO..=Duration::from_secs(10));

/// Reads `[services]`.
pub(super) fn services(section: &mut Section<'_>) -> (catalog::Settings, Choice, Treatment, ServiceChecks) {
    let default = catalog::Settings::default();
    let choice = choice(section);
    let settings = catalog::Settings {
        on_demand: section.get("on_demand", &Flag, default.on_demand),
        services_max: section.get("max", &Number(COUNT), default.services_max),
        idle: section.get("idle", &SOME_TIME, default.idle),
        absent_idle: section.get("absent_idle", &SOME_TIME, default.absent_idle),
        first_list_timeout: section.get("first_list_timeout", &ANY_TIME, default.first_list_timeout),
        settle: section.get("settle", &SETTLE_TIME, default.settle),
        stale_warning: section.get("stale_warning", &SOME_TIME, default.stale_warning),
        limbo: section.get("limbo", &ANY_TIME, default.limbo),
        ghost_after: section.get("ghost_after", &SOME_TIME, default.ghost_after),
        reap_after: section.optional("reap_after", &REAP_TIME, "never"),
    };
    // Sections within come last: keys after them would be theirs.
    let treatment = Treatment::read(section, None);
    let checks = section.section("check", checks::of_all);
    (settings, choice, treatment, checks)
}
