//! How services are followed, and what holds of those that nothing is declared of.

use std::sync::Arc;
use std::time::Duration;

use super::care::Treatment;
use super::checks::{self, ServiceChecks};
use super::choices::choice;
use super::reader::Section;
use super::resolve::{ANY_TIME, COUNT, SOME_TIME};
use super::tiers::{Here, Tiers};
use super::units::Time;
use super::value::{Flag, Number};
use super::{networks, rules};
use crate::balance::Choice;
use crate::catalog;
use crate::route::Key;

/// How long a ghost must have been silent to be deleted: long enough for any restart.
const REAP_TIME: Time = Time(Duration::from_secs(10)..=Duration::from_hours(24 * 30));
/// How long changes may be gathered.
const SETTLE_TIME: Time = Time(Duration::ZERO..=Duration::from_secs(10));

/// What `[services]` says: how all are followed; and of those that nothing is declared of, how one is chosen, by which key,
/// how they are treated, and how they are checked.
type Usual = (catalog::Settings, Choice, Option<Arc<Key>>, Treatment, ServiceChecks);

/// Reads `[services]`.
pub(super) fn services(section: &mut Section<'_>, here: Here) -> (Usual, Tiers) {
    let default = catalog::Settings::default();
    let choice = choice(section);
    let key = rules::key(section, "none");
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
        allowed: networks::allowed(section),
    };
    let tiers = Tiers::usual(section, here);
    // Sections within come last: keys after them would be theirs.
    let treatment = Treatment::read(section, None);
    let checks = section.section("check", checks::of_all);
    ((settings, choice, key, treatment, checks), tiers)
}
