//! Records whose address is reserved are passed over as other records are that are of no use.

use std::sync::Arc;

use crate::provider::{Allowed, Host, Provider, Reserved};
use crate::registry::format::Reason;
use crate::registry::{Listing, Skipped, View};

/// Moves the providers of a list whose address is never dialled to what is skipped. Names are looked at when they are dialled.
pub(super) fn pass_over(listing: &mut Listing, allowed: &Allowed) {
    let View::Present { providers, skipped } = &mut listing.view else { return };
    let refused = |provider: &Provider| match provider.address.host() {
        Host::Ip(ip) => allowed.refuses(*ip),
        Host::Name(_) => None,
    };
    providers.retain(|provider: &Arc<Provider>| match refused(provider) {
        Some(reserved) => {
            skipped.push(skip(provider, reserved));
            false
        }
        None => true,
    });
}

fn skip(provider: &Provider, reserved: Reserved) -> Skipped {
    let record = if provider.record.is_empty() { &provider.id } else { &provider.record };
    Skipped {
        record: record.to_string(),
        reason: Reason::Reserved,
        detail: format!(
            "{} is {reserved}; if a provider is meant to be there, list its network in services.allow_addresses",
            provider.address
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_addresses_are_skipped_by_name_and_others_stay() {
        let provider = |address: &str| Arc::new(Provider::new(address, address.parse().unwrap()));
        let list = || {
            let providers =
                ["169.254.169.254:80", "10.0.0.1:80", "[::ffff:169.254.1.1]:80", "metadata.internal:80"];
            let providers = providers.map(provider).to_vec();
            let view = View::Present { providers, skipped: Vec::new() };
            Listing::new("svc".parse().unwrap(), view)
        };
        let seen = |listing: Listing| {
            let View::Present { providers, skipped } = listing.view else { panic!("absent") };
            assert!(skipped.iter().all(|skipped| skipped.reason == Reason::Reserved));
            let ids: Vec<String> = providers.iter().map(|provider| provider.id.to_string()).collect();
            (ids, skipped.into_iter().map(|skipped| skipped.detail).collect::<Vec<_>>())
        };
        let mut listing = list();
        pass_over(&mut listing, &Allowed::default());
        let (ids, details) = seen(listing);
        assert_eq!(ids, ["10.0.0.1:80", "metadata.internal:80"]);
        assert!(
            details[0].starts_with("169.254.169.254:80 is where a cloud keeps its metadata; "),
            "{details:?}"
        );
        assert!(details[1].contains(" is link-local; "), "{details:?}");
        let mut listing = list();
        pass_over(&mut listing, &Allowed::new(vec!["169.254.0.0/16".parse().unwrap()]));
        assert_eq!(seen(listing).0.len(), 4);
    }
}
