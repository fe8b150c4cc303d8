//! The providers of Dubbo at interface level: the name of an entry is a URL, and says everything.

mod overriding;
#[cfg(test)]
mod tests;
mod url;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use self::url::{Key, Url};
use super::{Decoded, Encoded, Entry, Folder, Format, Reason, Unusable, convention, json};
use crate::provider::{Protocol, Provider, ServiceName, WarmUp, Weight};
use crate::registry::announcer::Announcement;

/// How long a provider warms up where it does not say, by Dubbo.
const WARM_UP: Duration = Duration::from_mins(10);
/// Parameters that are said otherwise, or that differ from start to start of one provider.
const NOT_METADATA: [&str; 5] = ["pid", "timestamp", "version", "warmup", "weight"];

/// The providers of Dubbo at interface level, as 2.x and 3.x announce them.
///
/// A service is named as Dubbo does, `group/interface:version`; of these, the interface is needed, and what is not named, or is
/// `*`, may be anything, unless the options `group` and `version` of the registry's URL say otherwise. Providers of another group or
/// version are left out. The scheme of a provider says what is spoken: `tri` and `grpc` are HTTP/2, `rest` and `http` HTTP/1.1;
/// others, such as `dubbo`, cannot be sent a request. The option `scheme=tri` leaves the others out.
///
/// Weights are Dubbo's, of which 100 is usual, and grow for `warmup` (10 min) from `timestamp` on. The zone is in the parameter `zone`
/// or `region`. Beside the providers lie configurators, of which `override://` is read: it sets the weight, or takes a provider
/// out of service, for one machine, address or all.
#[derive(Clone, Debug, Default)]
pub struct Dubbo {
    group: Option<String>,
    version: Option<String>,
    scheme: Option<String>,
}

impl Dubbo {
    /// The providers of Dubbo: of this group and version where a service's name says nothing else, and of this scheme only if
    /// there is one.
    pub const fn new(group: Option<String>, version: Option<String>, scheme: Option<String>) -> Self {
        Self { group, version, scheme }
    }

    /// What is asked for by the name of a service.
    fn key(&self, service: &ServiceName) -> Key {
        let key = Key::of(service.as_str());
        Key {
            group: key.group.or_else(|| self.group.clone()),
            version: key.version.or_else(|| self.version.clone()),
            ..key
        }
    }
}

impl Format for Dubbo {
    fn name(&self) -> &'static str {
        "dubbo"
    }

    fn prefix(&self) -> &'static str {
        "/dubbo"
    }

    fn folder(&self, service: &ServiceName) -> String {
        format!("{}/providers", url::encoded(&Key::of(service.as_str()).interface))
    }

    fn rules_folder(&self, service: &ServiceName) -> Option<String> {
        Some(format!("{}/configurators", url::encoded(&Key::of(service.as_str()).interface)))
    }

    fn reads_data(&self) -> bool {
        false
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        let url = json::bounded(entry.name.as_bytes()).and_then(|()| Url::of(entry.name));
        match (url, entry.folder) {
            (Ok(url), Folder::Providers) => self.provider(url, &self.key(entry.service)).into(),
            (Ok(url), Folder::Rules) => overriding::rules(&url, &self.key(entry.service)),
            (Err(unusable), _) => Err(unusable).into(),
        }
    }

    fn encode(&self, announcement: &Announcement) -> Result<Encoded, String> {
        let provider = &announcement.provider;
        let known = provider.metadata.get("scheme").filter(|scheme| {
            let (protocol, _) = convention::spoken(scheme);
            protocol == provider.protocol
        });
        let scheme = match (known, provider.protocol) {
            (Some(scheme), _) => scheme.as_str(),
            (None, Protocol::Http1) => "rest",
            (None, Protocol::H2c) => "tri",
            (None, Protocol::Tcp) => "dubbo",
            (None, Protocol::Mucp) => return Err(convention::only_go_micro("Dubbo")),
        };
        let key = self.key(&announcement.service);
        let mut parameters = provider.metadata.clone();
        let path = parameters.remove("path").unwrap_or_else(|| key.interface.clone());
        parameters.remove("scheme");
        let since = announcement.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut say = |name: &str, value: String| parameters.insert(name.to_owned(), value);
        say("interface", key.interface.clone());
        say("side", "provider".to_owned());
        say("timestamp", since.as_millis().to_string());
        if let Some(group) = key.group.filter(|group| group != "*") {
            say("group", group);
        }
        let version = (!provider.version.is_empty()).then(|| provider.version.to_string());
        if let Some(version) = version.or_else(|| key.version.filter(|version| version != "*")) {
            say("version", version);
        }
        if provider.weight != Weight::ONE {
            say("weight", provider.weight.hundredths().to_string());
        }
        if let Some(zone) = &provider.zone {
            say("zone", zone.to_string());
        }
        if let Some(warm_up) = provider.warm_up {
            say("warmup", warm_up.over.as_millis().to_string());
        }
        if provider.secure && !convention::spoken(scheme).1 {
            say("ssl-enabled", "true".to_owned());
        }
        let missing = [("dubbo", "2.0.2"), ("application", "wayside")];
        for (name, value) in missing {
            parameters.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        let name = url::encoded(&url::written(scheme, &provider.address, &path, &parameters)?);
        Ok(Encoded { name, is_numbered: false, data: Vec::new() })
    }
}

impl Dubbo {
    fn provider(&self, url: Url, key: &Key) -> Result<Provider, Unusable> {
        key.admit(url.get("group"), url.get("version"))?;
        convention::asked_for(self.scheme.as_deref(), &url.scheme)?;
        for (name, word) in [("enabled", "false"), ("disabled", "true")] {
            if url.get(name) == Some(word) {
                return Err(Unusable::new(Reason::Disabled, format!("the provider says {name}={word}")));
            }
        }
        let address = url.address()?;
        let timestamp = url.get("timestamp").unwrap_or_default();
        // A process that starts anew has another time; one that registers anew has not.
        let started = if timestamp.is_empty() { String::new() } else { format!("?timestamp={timestamp}") };
        let id = format!("{}://{address}/{}{started}", url.scheme, url.path);
        let (protocol, over_tls) = spoken(&url);
        let zone = url.get("zone").or_else(|| url.get("region")).filter(|zone| !zone.is_empty());
        Ok(Provider {
            weight: weight(url.get("weight")),
            warm_up: warm_up(url.get("timestamp"), url.get("warmup")),
            zone: zone.map(Into::into),
            version: url.get("version").unwrap_or_default().into(),
            protocol,
            secure: over_tls || url.get("ssl-enabled") == Some("true"),
            metadata: metadata(url),
            ..Provider::new(id, address)
        })
    }
}

/// What is spoken: by the scheme, or at the same port by another protocol beside it.
fn spoken(url: &Url) -> (Protocol, bool) {
    let beside = url.get("ext.protocol").unwrap_or_default().split(',');
    let all = std::iter::once(url.scheme.as_str()).chain(beside.map(str::trim)).map(convention::spoken);
    let http = |(protocol, _): &(Protocol, bool)| matches!(protocol, Protocol::Http1 | Protocol::H2c);
    all.into_iter().find(http).unwrap_or((Protocol::Tcp, false))
}

fn metadata(url: Url) -> BTreeMap<String, String> {
    let own = [("path", url.path), ("scheme", url.scheme)];
    let parameters = url.parameters.into_iter().filter(|(name, _)| !NOT_METADATA.contains(&name.as_str()));
    let all = own.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(parameters);
    json::bounded_pairs(all)
}

/// A weight as Dubbo writes it: 100 is usual, nothing and nonsense count as that, and less than none is none.
pub(super) fn weight(written: Option<&str>) -> Weight {
    match written.map(|weight| weight.trim().parse::<i64>()) {
        Some(Ok(weight)) => Weight::from_hundredths(u32::try_from(weight.max(0)).unwrap_or(u32::MAX)),
        Some(Err(_)) | None => Weight::ONE,
    }
}

/// How a provider warms up, by when it started and for how long, both in milliseconds.
pub(super) fn warm_up(timestamp: Option<&str>, warmup: Option<&str>) -> Option<WarmUp> {
    let millis = |text: Option<&str>| Some(Duration::from_millis(text?.trim().parse().ok()?));
    let since = SystemTime::UNIX_EPOCH.checked_add(millis(timestamp)?)?;
    let over = millis(warmup).unwrap_or(WARM_UP);
    (!over.is_zero() && since != SystemTime::UNIX_EPOCH).then_some(WarmUp { since, over })
}
