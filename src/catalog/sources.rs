//! The sources of a catalog: what each says of a service is kept apart, and brought together when one of them speaks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arrayvec::ArrayVec;
use rand::rngs::SmallRng;
use tokio::sync::watch;

use super::heard::Heard;
use super::limbo::Occasion;
use super::merge::{Differences, Presence, Word, choose, compare, join};
use super::removal::Circumstances;
use super::service::{Applied, Service};
use super::source::{Role, SOURCES_MAX, Source, SourceSet, Standing};
use super::subscription::{Freshness, RegistryState};
use super::{Catalog, RegistryStatus, State, journal};
use crate::clock::Moment;
use crate::provider::ServiceName;
use crate::registry::{Listing, View};
use crate::telemetry::metrics::RegistryMetrics;

/// The names of the sources that some services may come from; all others may come from any.
pub type Restrictions = HashMap<ServiceName, Vec<Arc<str>>>;

/// A source as it is followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) source: Source,
    pub(super) metrics: RegistryMetrics,
    /// The services that are wanted of it. Written under the lock, read by the registry.
    pub(super) wanted: watch::Sender<Arc<BTreeSet<ServiceName>>>,
}

/// What is needed beside a service to bring its sources together: the rest of what is behind the lock, and the moment.
pub(super) struct Means<'a> {
    sources: &'a [Followed],
    standings: &'a [Standing],
    rng: &'a mut SmallRng,
    memories: &'a mut u64,
    now: Moment,
    /// How long a source that says nothing holds up the use of a fallback.
    patience: Duration,
    /// How long a provider is kept as a spare.
    limbo: Duration,
}

/// What became of a service when one of its sources spoke.
#[derive(Debug)]
pub(super) struct Outcome {
    service: ServiceName,
    applied: Applied,
    absent: bool,
    providers: usize,
    changed_at: Option<SystemTime>,
    heard: Option<Instant>,
}

impl Service {
    /// Whether a source is asked for it and can come to be used.
    fn role(&self, number: usize, sources: &[Followed]) -> Option<Role> {
        self.heard.get(number)?.as_ref().map(|_| sources[number].source.role)
    }

    fn words(&self, means: &Means<'_>) -> ArrayVec<Word<'_>, SOURCES_MAX> {
        let mut words = ArrayVec::new();
        for (number, heard) in self.heard.iter().enumerate() {
            words.push(heard.as_ref().map_or(Word::NOT_ASKED, |heard| Word {
                role: Some(means.sources[number].source.role),
                view: heard.view.as_ref(),
                freshness: &heard.freshness,
                is_awaited: means.could_speak(number, heard) && means.now.since(heard.asked) < means.patience,
            }));
        }
        words
    }

    /// Whether a source that could be used did not speak yet, and nothing says that it cannot.
    fn has_hope(&self, means: &Means<'_>) -> bool {
        let mut asked = self.heard.iter().enumerate();
        let can = |(number, heard): (usize, &Option<Heard>)| {
            self.role(number, means.sources).is_some_and(|role| role != Role::Shadow)
                && heard.as_ref().is_some_and(|heard| means.could_speak(number, heard))
        };
        means.sources.is_empty() || asked.any(can)
    }

    /// What each source that is asked said last: its name, its version of that list, and how far that can be trusted.
    pub(super) fn words_of(&self, sources: &[Followed]) -> Vec<(Arc<str>, Option<i64>, Freshness)> {
        let heard = sources.iter().zip(&self.heard);
        let word = |(followed, heard): (&Followed, &Option<Heard>)| {
            let heard = heard.as_ref()?;
            Some((Arc::clone(&followed.source.name), heard.revision, heard.freshness.clone()))
        };
        heard.filter_map(word).collect()
    }

    /// The name of each shadow that spoke of it, and the number of addresses it tells otherwise of.
    pub(super) fn shadows(&self, sources: &[Followed]) -> Vec<(Arc<str>, usize)> {
        let heard = sources.iter().zip(&self.heard);
        let shadow = |(followed, heard): (&Followed, &Option<Heard>)| {
            Some((Arc::clone(&followed.source.name), heard.as_ref()?.differences.as_ref()?.count))
        };
        heard.filter_map(shadow).collect()
    }

    /// Whether a source did not speak yet, so that time alone may change which are used.
    pub(super) fn awaits_a_source(&self) -> bool {
        self.heard.len() > 1 && self.heard.iter().flatten().any(|heard| heard.view.is_none())
    }

    /// Whether all that is known of it could be learnt again now, if it were given up.
    pub(super) fn could_be_learnt_again(&self, sources: &[Followed], standings: &[Standing]) -> bool {
        let mut knowing = self.heard.iter().enumerate().filter(|(number, heard)| {
            self.role(*number, sources).is_some_and(|role| role != Role::Shadow)
                && heard.as_ref().is_some_and(|heard| matches!(heard.view, Some(View::Present { .. })))
        });
        knowing.all(|(number, _)| standings[number].state == RegistryState::Up)
    }

    /// Brings together what the sources say, after one of them spoke or came to stand otherwise. `listing` tells of the
    /// change; its list is replaced by that of all sources. `None` when no list had to be taken over.
    fn bring_together(
        &mut self,
        listing: Listing,
        spoke: Option<usize>,
        in_doubt: bool,
        means: &mut Means<'_>,
    ) -> Option<Outcome> {
        let outcome = self.take_over(listing, spoke, in_doubt, means);
        // Only now: whoever sees that nothing is to be hoped for is to find the list that ended the hope.
        let hope = self.has_hope(means);
        self.hope.send_if_modified(|before| std::mem::replace(before, hope) != hope);
        outcome
    }

    fn take_over(
        &mut self,
        mut listing: Listing,
        spoke: Option<usize>,
        in_doubt: bool,
        means: &mut Means<'_>,
    ) -> Option<Outcome> {
        let words = self.words(means);
        let choice = choose(&words);
        if choice.presence == Presence::Unknown {
            // What was known before stays in use.
            return None;
        }
        let is_other = (choice.presence, choice.from) != (self.choice.presence, self.choice.from);
        let is_of_use = |number| choice.from.contains(number) || choice.presence != Presence::Present;
        let is_news = is_other || spoke.is_some_and(is_of_use);
        let shadows: ArrayVec<usize, SOURCES_MAX> = (0..words.len())
            .filter(|number| words[*number].role == Some(Role::Shadow) && words[*number].view.is_some())
            .filter(|number| is_news || spoke == Some(*number))
            .collect();
        if is_news || !shadows.is_empty() {
            listing.view = join(&words, &choice);
        }
        let differences: ArrayVec<(usize, Differences), SOURCES_MAX> = shadows
            .into_iter()
            .filter_map(|number| Some((number, compare(&listing.view, words[number].view?))))
            .collect();
        drop(words);
        for (number, differences) in differences {
            if let Some(heard) = &mut self.heard[number] {
                heard.differences = Some(differences);
            }
        }
        self.choice = choice.clone();
        if !is_news {
            self.freshness.send_if_modified(|before| {
                let is_other = *before != choice.freshness;
                *before = choice.freshness;
                is_other
            });
            return None;
        }
        if means.sources.len() > 1 {
            // A number of one registry says nothing of the list of several.
            listing.revision = None;
        }
        let (service, changed_at, heard) = (listing.service.clone(), listing.changed_at, listing.heard);
        let occasion = self.occasion(spoke, in_doubt, means);
        let Means { memories, rng, .. } = means;
        let number = || {
            **memories += 1;
            **memories
        };
        let applied = self.apply(listing, choice.freshness, occasion, number, rng);
        let (absent, providers) = (self.absent, self.endpoints.len());
        Some(Outcome { service, applied, absent, providers, changed_at, heard })
    }

    fn occasion(&self, speaker: Option<usize>, in_doubt: bool, means: &Means<'_>) -> Occasion {
        let unused = self.heard.iter().enumerate().filter(|(number, _)| {
            !self.choice.from.contains(*number) && self.role(*number, means.sources) != Some(Role::Shadow)
        });
        let named = unused.filter_map(|(_, heard)| heard.as_ref()).flat_map(Heard::providers);
        Occasion {
            speaker,
            named_elsewhere: named.map(|provider| provider.address.clone()).collect(),
            circumstances: Circumstances { in_doubt, now: means.now, limbo: means.limbo },
        }
    }
}

impl Means<'_> {
    /// Whether a source did not speak of a service yet, and nothing says that it cannot.
    fn could_speak(&self, number: usize, heard: &Heard) -> bool {
        heard.view.is_none() && self.standings[number].state != RegistryState::Down
    }
}

impl Catalog {
    /// How each registry stands, in the order of the configuration.
    pub fn registries(&self) -> Vec<RegistryStatus> {
        let now = self.clock.now();
        let state = self.state.lock();
        let standing = self.sources.iter().zip(&state.standings).enumerate();
        let status = |(number, (followed, standing)): (usize, (&Followed, &Standing))| {
            let heard = state.services.values().filter_map(|service| service.heard[number].as_ref());
            RegistryStatus::of(followed, standing, heard, now)
        };
        standing.map(status).collect()
    }

    /// Replaces which sources services may come from. What is known of a service stays until one of its sources speaks.
    pub fn restrict(&self, restrictions: Restrictions) {
        let outcomes = {
            let state = &mut *self.state.lock();
            state.restrictions = restrictions;
            let now = self.clock.now();
            for (name, service) in &mut state.services {
                let asked = self.asked(name, &state.restrictions);
                for (number, heard) in service.heard.iter_mut().enumerate() {
                    if !asked.contains(number) {
                        *heard = None;
                    } else if heard.is_none() {
                        *heard = Some(Heard::nothing(now));
                    }
                }
            }
            self.publish_wanted(state);
            self.reconsider(state, |_| true)
        };
        self.account(outcomes);
    }

    /// The sources that are asked for a service. Where none of those it may come from is followed, all are.
    fn asked(&self, service: &ServiceName, restrictions: &Restrictions) -> SourceSet {
        let Some(names) = restrictions.get(service) else { return SourceSet::ALL };
        let named = self.sources.iter().enumerate().filter(|(_, it)| names.contains(&it.source.name));
        let set: SourceSet = named.map(|(number, _)| number).collect();
        if set.is_empty() { SourceSet::ALL } else { set }
    }

    /// Begins to follow a service, asking the sources that it may come from.
    pub(super) fn begin(&self, state: &mut State, name: &ServiceName, now: Moment) -> Option<Outcome> {
        let asked = self.asked(name, &state.restrictions);
        let heard = |number| asked.contains(number).then(|| Heard::nothing(now));
        let mut service = Service::new(
            name,
            (0..self.sources.len()).map(heard).collect(),
            Arc::clone(state.cares.of(name)),
            Arc::clone(state.layouts.of(name)),
        );
        service.inheritance = state.handover.as_mut().and_then(|handover| handover.take(name));
        // A registry that did not see that it was let go of is to list it again.
        state.services.insert(name.anew(), service);
        Self::recall(state, name, now);
        let (services, mut means) = self.means(state);
        let listing = Listing::new(name.clone(), View::Absent);
        services.get_mut(name)?.bring_together(listing, None, false, &mut means)
    }

    /// Takes over what a source says of a service.
    pub(super) fn hear(&self, state: &mut State, number: usize, mut listing: Listing) -> Option<Outcome> {
        let heard = state.services.get_mut(&listing.service)?.heard.get_mut(number)?.as_mut()?;
        let in_doubt = matches!(heard.freshness, Freshness::Stale { .. } | Freshness::FromDisk { .. });
        if heard.take(&mut listing) {
            self.note_change(state, number);
        }
        let (services, mut means) = self.means(state);
        let service = services.get_mut(&listing.service)?;
        service.bring_together(listing, Some(number), in_doubt, &mut means)
    }

    /// Brings together anew what sources say of some services, since time passed or a source came to stand otherwise.
    pub(super) fn reconsider(&self, state: &mut State, which: impl Fn(&Service) -> bool) -> Vec<Outcome> {
        let (services, mut means) = self.means(state);
        let mut outcomes = Vec::new();
        for (name, service) in services.iter_mut().filter(|(_, service)| which(service)) {
            let listing = Listing::new(name.clone(), View::Absent);
            outcomes.extend(service.bring_together(listing, None, false, &mut means));
        }
        outcomes
    }

    /// The same of one service.
    pub(super) fn reconsider_one(&self, state: &mut State, name: &ServiceName) -> Option<Outcome> {
        let (services, mut means) = self.means(state);
        let listing = Listing::new(name.clone(), View::Absent);
        services.get_mut(name)?.bring_together(listing, None, false, &mut means)
    }

    fn means<'s>(&'s self, state: &'s mut State) -> (&'s mut HashMap<ServiceName, Service>, Means<'s>) {
        let State { services, standings, rng, memories, .. } = state;
        // Whoever waits for a first list is to find that of a fallback before it gives up.
        let patience = self.settings.first_list_timeout / 4;
        let now = self.clock.now();
        let limbo = self.settings.limbo;
        (services, Means { sources: &self.sources, standings, rng, memories, now, patience, limbo })
    }

    /// Counts and logs what became of services. True when anything changed for requests.
    pub(super) fn account(&self, outcomes: impl IntoIterator<Item = Outcome>) -> bool {
        let mut any = false;
        for Outcome { service, applied, absent, providers, changed_at, heard } in outcomes {
            let metrics = &self.metrics.catalog;
            self.count_swaps(&applied.swaps);
            metrics.removals("withdrawn").inc_by(applied.withdrawn.len() as u64);
            for limbo in applied.kept.iter().filter_map(|endpoint| endpoint.limbo.as_ref()) {
                metrics.removals(limbo.cause.as_str()).inc();
            }
            if let Some(heard) = heard.filter(|_| applied.swaps.count > 0) {
                metrics.notification_to_swap_seconds.observe(heard.elapsed().as_secs_f64());
            }
            for skipped in &applied.newly_skipped {
                metrics.skipped(skipped.reason.as_str()).inc();
            }
            // A list that only refreshes shows changes of any age, which say nothing of how fast this proxy is.
            if !applied.refreshed
                && applied.swaps.count > 0
                && let Some(age) =
                    changed_at.and_then(|changed| SystemTime::now().duration_since(changed).ok())
            {
                metrics.change_to_swap_seconds.observe(age.as_secs_f64());
            }
            journal::record(&mut self.state.lock().events, &service, &applied);
            journal::log(&service, &applied, absent, providers);
            any |= applied.swaps.count > 0 || applied.absence_changed;
        }
        any
    }
}
