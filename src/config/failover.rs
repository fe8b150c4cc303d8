//! Failover: the services that take the place of one of which nothing is available.

use std::collections::BTreeMap;

use super::announced::Known;
use super::reader::Section;
use super::resolve::SERVICE;
use crate::provider::ServiceName;

/// The most services that may stand behind one, each in the place of the one before.
const FAILOVERS_MAX: usize = 3;

/// Which service takes the place of which, as far as read; never in a circle.
#[derive(Default)]
pub(super) struct Failovers(BTreeMap<ServiceName, ServiceName>);

impl Failovers {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Reads what one `[[service]]` says of the service of this name.
    pub(super) fn declare(
        &mut self,
        section: &mut Section<'_>,
        service: Option<&ServiceName>,
        known: &Known,
    ) {
        let failover = section.optional("failover", &SERVICE, "none");
        known.check_besides(section, "failover", failover.as_ref(), service);
        let (Some(service), Some(failover)) = (service, failover) else { return };
        if failover == *service || self.behind(&failover).contains(service) {
            let message = format!(
                "{service} would take its own place in the end; leave one of them without a failover"
            );
            section.wrong("failover", message);
            return;
        }
        self.0.insert(service.clone(), failover);
        if let Some(long) = self.0.keys().find(|service| self.behind(service).len() > FAILOVERS_MAX) {
            let message =
                format!("there are more than {FAILOVERS_MAX} services behind {long}; leave this one out");
            section.wrong("failover", message);
            self.0.remove(service);
        }
    }

    /// The services that stand behind one `[[route]]`, the next one first, if it says one.
    pub(super) fn of_route(&self, section: &mut Section<'_>, known: &Known) -> Option<Vec<ServiceName>> {
        let failover = section.optional("failover", &SERVICE, "as declared of the service")?;
        known.check(section, "failover", Some(&failover));
        let mut behind = self.behind(&failover);
        behind.insert(0, failover);
        Some(behind)
    }

    /// The services that stand behind one, the next one first.
    pub(super) fn behind(&self, service: &ServiceName) -> Vec<ServiceName> {
        std::iter::successors(self.0.get(service), |next| self.0.get(*next)).cloned().collect()
    }
}
