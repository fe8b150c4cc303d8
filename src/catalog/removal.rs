//! Removal, judged by its cause: what becomes of an endpoint that its registry lists no more.
//!
//! | how its record went | what becomes of it |
//! |---|---|
//! | from a registry that somebody keeps, such as a file | dropped |
//! | deleted by itself, or moved, by somebody who lived | dropped |
//! | with the session or lease of its owner | a spare for a while |
//! | while the registry was not heard | a spare for a while |
//! | with most others at once | used as before until asking a second time confirms it, then a spare for a while |
//! | as the last one | used as before: with its folder or its owner's session until others are there, else until it is confirmed |
//!
//! Whatever is kept is kept only while it answers: its first failure ends it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::endpoint::{Cause, Endpoint, Limbo};
use crate::provider::Tenure;

/// Removals that follow each other within this time count as one: registries delete record by record.
const ONE_SWEEP: Duration = Duration::from_secs(5);

/// What went lately, of one service.
#[derive(Debug, Default)]
pub struct Recent(Vec<(Moment, Arc<str>)>);

/// What becomes of an endpoint that went.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is dropped, for this reason.
    Withdrawn(Endpoint, Withdrawal),
    /// It is used on.
    Kept(Endpoint),
}

/// Why an endpoint is dropped at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// Whoever keeps the list took it out.
    TakenOut,
    /// Its record announces another address.
    Moved,
    /// Its record was deleted by somebody who lived.
    Deleted,
    /// The registry that names it is not used at present, since another comes before it or it is not asked any more.
    NotUsed,
}

impl Withdrawal {
    /// What it is to people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::TakenOut => "it was taken out of the list",
            Self::Moved => "its record announces another address",
            Self::Deleted => "its record was deleted, or says nothing usable any more",
            Self::NotUsed => "the registry that names it is not used for this service now",
        }
    }
}

/// How a list came about.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Whether the registry was not heard just before.
    pub in_doubt: bool,
    /// When it is.
    pub now: Moment,
    /// How long a spare is kept.
    pub limbo: Duration,
}

/// Judges the endpoints that a list lacks and that the one before it had; `listed` are those it has.
pub fn judge(
    gone: Vec<Endpoint>,
    listed: &[Endpoint],
    recent: &mut Recent,
    circumstances: Circumstances,
) -> Vec<Verdict> {
    let now = circumstances.now;
    if gone.is_empty() {
        return Vec::new();
    }
    let ids: HashSet<&str> = listed.iter().map(id).collect();
    let owners: HashSet<u64> = listed.iter().filter_map(owner).collect();
    // A record that is still there, and announces another address, is the word of a living owner.
    let certain = |endpoint: &Endpoint| match endpoint.provider.tenure {
        Tenure::Kept => Some(Withdrawal::TakenOut),
        Tenure::Lasting | Tenure::Leased(_) => ids.contains(id(endpoint)).then_some(Withdrawal::Moved),
    };
    recent.add(gone.iter().filter(|endpoint| certain(endpoint).is_none()), &ids, now);
    let is_mass = recent.0.len() > 1 && recent.0.len() > listed.len();
    let judge = |endpoint: Endpoint| {
        let lost_owner = owner(&endpoint).is_some_and(|owner| !owners.contains(&owner));
        let cause = if let Some(reason) = certain(&endpoint) {
            return Verdict::Withdrawn(endpoint, reason);
        } else if is_mass {
            Cause::Mass
        } else if listed.is_empty() {
            Cause::Last
        } else if circumstances.in_doubt {
            Cause::Doubt
        } else if lost_owner {
            Cause::Session
        } else {
            return Verdict::Withdrawn(endpoint, Withdrawal::Deleted);
        };
        let is_held = matches!(cause, Cause::Mass | Cause::Last);
        let limbo = Limbo {
            cause,
            since: now,
            until: (!is_held).then(|| now.after(circumstances.limbo)),
            is_spare: !is_held,
            is_unconfirmed: is_held,
            failures: endpoint.memory.unanswered(),
        };
        Verdict::Kept(Endpoint { limbo: Some(Arc::new(limbo)), ..endpoint })
    };
    gone.into_iter().map(judge).collect()
}

impl Recent {
    /// Adds what went, and forgets what went long ago or is back.
    fn add<'e>(&mut self, gone: impl Iterator<Item = &'e Endpoint>, listed: &HashSet<&str>, now: Moment) {
        let gone: Vec<(Moment, Arc<str>)> =
            gone.map(|endpoint| (now, Arc::clone(&endpoint.provider.id))).collect();
        let again: HashSet<&str> = gone.iter().map(|(_, id)| &**id).collect();
        let is_news = |id: &str| !listed.contains(id) && !again.contains(id);
        self.0.retain(|(at, id)| now.since(*at) < ONE_SWEEP && is_news(id));
        self.0.extend(gone);
    }
}

fn id(endpoint: &Endpoint) -> &str {
    &endpoint.provider.id
}

/// The session or lease that holds an endpoint's record.
fn owner(endpoint: &Endpoint) -> Option<u64> {
    match endpoint.provider.tenure {
        Tenure::Leased(owner) => Some(owner),
        Tenure::Kept | Tenure::Lasting => None,
    }
}

/// What becomes of an endpoint in limbo with time; `others` says whether any endpoint is listed.
#[derive(Clone, Debug)]
pub enum Lapse {
    /// It stays as it is.
    Stays,
    /// It goes on in limbo, on other terms.
    Changes(Limbo),
    /// It is dropped, for this reason.
    Ends(&'static str),
}

/// Looks at an endpoint in limbo again.
pub fn review(endpoint: &Endpoint, limbo: &Limbo, others: bool, at: Circumstances) -> Lapse {
    // What a check of it finds is no proof that it is gone.
    if !endpoint.memory.reach.is_available() || endpoint.memory.unanswered() > limbo.failures {
        return Lapse::Ends("its record is gone, and it failed");
    }
    match limbo.until {
        Some(until) if until <= at.now => Lapse::Ends("its record is gone, and did not come back in time"),
        None if others && !limbo.is_unconfirmed => {
            Lapse::Changes(Limbo { until: Some(at.now.after(at.limbo)), is_spare: true, ..limbo.clone() })
        }
        Some(_) | None => Lapse::Stays,
    }
}

/// What becomes of an endpoint in limbo whose going is confirmed; `absent` says whether the whole service is gone.
///
/// The last record of a service that is still there, written to last and deleted by itself, was withdrawn by somebody.
pub fn confirm(endpoint: &Endpoint, limbo: &Limbo, absent: bool) -> Lapse {
    if limbo.cause == Cause::Last && !absent && owner(endpoint).is_none() {
        return Lapse::Ends("its record was deleted, as the registry confirms");
    }
    Lapse::Changes(Limbo { is_unconfirmed: false, ..limbo.clone() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::{Care, Ending, Memory, Outcome, Said};
    use crate::provider::Provider;

    const LIMBO: Duration = Duration::from_mins(1);

    fn endpoint(port: u16, tenure: Tenure) -> Endpoint {
        let address: crate::provider::Address = format!("10.0.0.1:{port}").parse().unwrap();
        let provider = Provider { tenure, ..Provider::new(format!("p{port}"), address.clone()) };
        Endpoint::new(Arc::new(provider), Arc::new(Memory::new(port.into(), address)))
    }

    fn all(ports: std::ops::Range<u16>, tenure: impl Fn(u16) -> Tenure) -> Vec<Endpoint> {
        ports.map(|port| endpoint(port, tenure(port))).collect()
    }

    fn at(millis: u64, in_doubt: bool) -> Circumstances {
        Circumstances { in_doubt, now: Moment::from_millis(millis), limbo: LIMBO }
    }

    /// The cause for which each is kept.
    fn causes(verdicts: &[Verdict]) -> Vec<Option<Cause>> {
        let cause = |verdict: &Verdict| match verdict {
            Verdict::Withdrawn(..) => None,
            Verdict::Kept(endpoint) => endpoint.limbo.as_ref().map(|limbo| limbo.cause),
        };
        verdicts.iter().map(cause).collect()
    }

    fn once(gone: Vec<Endpoint>, listed: &[Endpoint], in_doubt: bool) -> Vec<Option<Cause>> {
        causes(&judge(gone, listed, &mut Recent::default(), at(0, in_doubt)))
    }

    #[test]
    fn each_cause_has_its_verdict() {
        let lasting = |_| Tenure::Lasting;
        let leased = |port: u16| Tenure::Leased(port.into());
        let others = all(10..14, lasting);
        assert_eq!(once(all(1..2, lasting), &others, false), [None], "deleted by itself");
        assert_eq!(once(all(1..2, lasting), &others, true), [Some(Cause::Doubt)]);
        assert_eq!(once(all(1..2, leased), &others, false), [Some(Cause::Session)]);
        let sibling = [endpoint(20, Tenure::Leased(1)), endpoint(21, Tenure::Leased(2))];
        assert_eq!(once(all(1..2, leased), &sibling, false), [None], "its owner lives");
        assert_eq!(once(all(1..6, lasting), &others, false), [Some(Cause::Mass); 5]);
        assert_eq!(once(all(1..5, lasting), &others, false), [None; 4], "half of them is a deployment");
        assert_eq!(once(all(1..3, lasting), &[], false), [Some(Cause::Mass); 2]);
        assert_eq!(once(all(1..2, lasting), &[], false), [Some(Cause::Last)]);
        assert_eq!(once(all(1..6, |_| Tenure::Kept), &[], true), [None; 5], "whoever keeps a file means it");
    }

    #[test]
    fn what_is_dropped_has_its_reason() {
        let reason = |gone: Endpoint, listed: &[Endpoint]| {
            let verdict = judge(vec![gone], listed, &mut Recent::default(), at(0, false)).remove(0);
            if let Verdict::Withdrawn(_, reason) = verdict { Some(reason) } else { None }
        };
        let others = all(10..14, |_| Tenure::Lasting);
        assert_eq!(reason(endpoint(1, Tenure::Lasting), &others), Some(Withdrawal::Deleted));
        assert_eq!(reason(endpoint(1, Tenure::Kept), &others), Some(Withdrawal::TakenOut));
        // The record of the same id is there still.
        assert_eq!(reason(endpoint(10, Tenure::Lasting), &others), Some(Withdrawal::Moved));
        assert_eq!(reason(endpoint(1, Tenure::Leased(1)), &others), None, "a session that ended");
    }

    #[test]
    fn a_wipe_record_by_record_is_one_sweep() {
        let mut everyone = all(1..5, |_| Tenure::Lasting);
        let mut recent = Recent::default();
        let mut told = Vec::new();
        for millis in [0, 10, 20, 30] {
            let gone = vec![everyone.remove(0)];
            told.extend(causes(&judge(gone, &everyone, &mut recent, at(millis, false))));
        }
        assert_eq!(told, [None, None, Some(Cause::Mass), Some(Cause::Mass)]);
        let mut everyone = all(1..5, |_| Tenure::Lasting);
        let mut recent = Recent::default();
        for millis in [0, 10_000, 20_000] {
            let gone = vec![everyone.remove(0)];
            assert_eq!(causes(&judge(gone, &everyone, &mut recent, at(millis, false))), [None]);
        }
    }

    #[test]
    fn what_is_held_becomes_a_spare_once_it_is_confirmed_and_others_are_there() {
        let mut recent = Recent::default();
        let verdicts = judge(all(1..3, |_| Tenure::Lasting), &[], &mut recent, at(0, false));
        let Verdict::Kept(endpoint) = &verdicts[0] else { panic!("dropped") };
        let limbo = endpoint.limbo.as_deref().unwrap();
        assert!(limbo.is_unconfirmed && !limbo.is_spare && limbo.until.is_none());
        assert!(matches!(review(endpoint, limbo, true, at(9_999_999, false)), Lapse::Stays), "not confirmed");
        let Lapse::Changes(limbo) = confirm(endpoint, limbo, false) else { panic!("as before") };
        assert!(matches!(review(endpoint, &limbo, false, at(9_999_999, false)), Lapse::Stays), "nobody else");
        let Lapse::Changes(limbo) = review(endpoint, &limbo, true, at(1000, false)) else {
            panic!("as before")
        };
        assert!(limbo.is_spare && limbo.until == Some(Moment::from_millis(61_000)));
        assert!(matches!(review(endpoint, &limbo, true, at(60_999, false)), Lapse::Stays));
        assert!(matches!(review(endpoint, &limbo, true, at(61_000, false)), Lapse::Ends(_)));
    }

    #[test]
    fn the_last_record_is_believed_to_be_withdrawn_once_that_is_confirmed() {
        for (tenure, absent, ends) in [
            (Tenure::Lasting, false, true),
            (Tenure::Lasting, true, false),
            (Tenure::Leased(1), false, false),
        ] {
            let verdicts = judge(all(1..2, |_| tenure), &[], &mut Recent::default(), at(0, false));
            let Verdict::Kept(endpoint) = &verdicts[0] else { panic!("dropped") };
            let lapse = confirm(endpoint, endpoint.limbo.as_deref().unwrap(), absent);
            assert_eq!(matches!(lapse, Lapse::Ends(_)), ends, "{tenure:?} {absent}");
        }
    }

    #[test]
    fn one_that_comes_and_goes_is_no_mass() {
        let others = all(10..11, |_| Tenure::Lasting);
        let mut recent = Recent::default();
        for round in 0..4 {
            let gone = all(1..2, |_| Tenure::Lasting);
            assert_eq!(causes(&judge(gone, &others, &mut recent, at(round * 100, false))), [None]);
        }
        let mut moved = endpoint(10, Tenure::Lasting);
        moved.provider = Arc::new(Provider { id: "p1".into(), ..Provider::clone(&moved.provider) });
        assert_eq!(once(all(1..2, |_| Tenure::Leased(1)), &[moved], true), [None], "its record is there");
    }

    #[test]
    fn the_first_failure_ends_it() {
        let verdicts = judge(all(1..3, |_| Tenure::Lasting), &[], &mut Recent::default(), at(0, false));
        for (verdict, fail) in verdicts.iter().zip([true, false]) {
            let Verdict::Kept(endpoint) = verdict else { panic!("dropped") };
            let limbo = endpoint.limbo.as_deref().unwrap();
            if fail {
                endpoint.memory.note(
                    Outcome::Broken,
                    Said::Nothing,
                    Ending::at(Moment::START),
                    &Care::default(),
                );
            } else {
                endpoint.memory.fail_to_connect(Moment::START, 0.5);
            }
            assert!(matches!(review(endpoint, limbo, false, at(1, false)), Lapse::Ends(_)));
        }
    }

    proptest! {
        #[test]
        fn nothing_but_a_keepers_word_empties_a_service(gone in 1_u16..50, leased: bool, in_doubt: bool) {
            let tenure = |port: u16| if leased { Tenure::Leased(port.into()) } else { Tenure::Lasting };
            let causes = once(all(1..gone + 1, tenure), &[], in_doubt);
            prop_assert!(causes.iter().all(Option::is_some));
        }
    }
}
