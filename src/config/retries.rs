//! What is sent again, in general and for the requests of one route or service.

use std::sync::Arc;
use std::time::Duration;

use super::reader::Section;
use super::resolve::RETRIES;
use super::units::{Bytes, Time};
use super::value::{Flag, List, Number, Parsed};
use crate::catalog::Allowance;
use crate::route::{Hedge, Retries};

/// Pauses between attempts; a longer one is no second chance for anybody who waits.
const PAUSE: Time = Time(Duration::ZERO..=Duration::from_mins(1));
/// A share of the requests.
const PERCENT: Number<u32> = Number(0..=1000);
/// Attempts in each second.
const PER_SECOND: Number<u32> = Number(0..=1_000_000);
/// What may be kept of one body. Times the requests in flight it has to fit into memory.
const KEPT: Bytes = Bytes(0..=16 * 1024 * 1024);
/// Answers after which another provider may do better: none that says that all is well.
const STATUSES: List<Number<u16>> = List(Number(400..=599));
/// When a second provider is asked.
const HEDGE: Parsed<Option<Hedge>> =
    Parsed::new("a percentile or a duration", "p95", hedge, |hedge| shown(*hedge));
/// The percentiles that a few requests can tell, and that leave more than half of the requests alone.
const PERCENTILES: std::ops::RangeInclusive<u8> = 50..=99;
/// After how long a second provider is asked.
const HEDGE_TIMES: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(1);

/// Reads `[retries]`.
pub(super) fn retries(section: &mut Section<'_>) -> Retries {
    let default = Retries::default();
    let retries = Retries {
        max: section.get("max", &RETRIES, default.max),
        idempotent: section.get("idempotent", &Flag, default.idempotent),
        harmless: false,
        statuses: section.get("statuses", &STATUSES, default.statuses.to_vec()).into(),
        back_off: section.get("back_off", &PAUSE, default.back_off),
        back_off_max: section.get("back_off_max", &PAUSE, default.back_off_max),
        allowance: Allowance {
            percent: section.get("budget_percent", &PERCENT, default.allowance.percent),
            per_second: section.get("budget_per_second", &PER_SECOND, default.allowance.per_second),
        },
        kept_max: section.get("body_bytes", &KEPT, default.kept_max),
        hedge: None,
    };
    if retries.back_off > retries.back_off_max {
        let most = Time::shown(retries.back_off_max);
        let message =
            format!("{} is more than back_off_max; write {most} or less", Time::shown(retries.back_off));
        section.wrong(if section.has("back_off") { "back_off" } else { "back_off_max" }, message);
    }
    retries
}

/// What a section says of its own requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    harmless: Option<bool>,
    statuses: Option<Arc<[u16]>>,
    hedge: Option<Option<Hedge>>,
}

impl Own {
    /// Reads the keys that a `[[service]]` and a `[[route]]` have alike; for what is not said, these words say what holds.
    pub(super) fn read(section: &mut Section<'_>, otherwise: &'static [&'static str; 3]) -> Self {
        let [harmless, statuses, hedge] = otherwise;
        Self {
            harmless: section.optional("idempotent", &Flag, harmless),
            statuses: section.optional("retry_statuses", &STATUSES, statuses).map(Arc::from),
            hedge: section.optional("hedge", &HEDGE, hedge),
        }
    }

    /// Lays it over what holds in general.
    pub(super) fn lay_over(&self, retries: &mut Retries) {
        retries.harmless = self.harmless.unwrap_or(retries.harmless);
        if let Some(statuses) = &self.statuses {
            retries.statuses = Arc::clone(statuses);
        }
        retries.hedge = self.hedge.unwrap_or(retries.hedge);
    }
}

fn hedge(text: &str) -> Result<Option<Hedge>, String> {
    if text == "off" {
        return Ok(None);
    }
    if let Some(percent) = text.strip_prefix('p') {
        let (least, most) = (PERCENTILES.start(), PERCENTILES.end());
        let percent = percent.parse().ok().filter(|percent| PERCENTILES.contains(percent));
        return percent
            .map(|percent| Some(Hedge::Percentile(percent)))
            .ok_or_else(|| format!("percentiles are from p{least} to p{most}"));
    }
    match humantime::parse_duration(text) {
        Ok(time) if HEDGE_TIMES.contains(&time) => Ok(Some(Hedge::After(time))),
        Ok(_) => Err("it is out of range; write a duration from 1ms to 1m".to_owned()),
        Err(_) => Err("it is neither; write \"p95\", or a duration such as \"20ms\"".to_owned()),
    }
}

fn shown(hedge: Option<Hedge>) -> String {
    match hedge {
        None => "off".to_owned(),
        Some(Hedge::After(time)) => Time::shown(time),
        Some(Hedge::Percentile(percent)) => format!("p{percent}"),
    }
}
