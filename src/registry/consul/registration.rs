//! An announcement as the agent takes it, and whether what the agent has is still that.

use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};

use super::follow::PLAIN;
use super::settings::Spelling;
use super::{entry, tags};
use crate::provider::{Host, Protocol, Provider, Weight};
use crate::registry::announcer::Announcement;

/// The shortest time after which Consul takes out a service whose check is critical; it refuses less.
const REMOVAL_MIN: Duration = Duration::from_mins(1);
/// The shortest time that a check lives without a sign.
const TTL_MIN: Duration = Duration::from_secs(3);

/// An announcement as the agent takes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Registration {
    content: Content,
    check: Check,
    ttl: Duration,
}

/// What is said of the instance; what an agent answers of it has the same form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    #[serde(rename = "ID")]
    id: String,
    /// The service; answers call it otherwise.
    #[serde(rename(serialize = "Name", deserialize = "Service"))]
    name: String,
    #[serde(default, deserialize_with = "entry::or_null")]
    tags: Vec<String>,
    #[serde(default, deserialize_with = "entry::or_null")]
    address: String,
    port: u16,
    #[serde(default, deserialize_with = "entry::or_null")]
    meta: BTreeMap<String, String>,
    weights: Weights,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: u32,
    warning: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(rename = "CheckID")]
    id: String,
    name: &'static str,
    #[serde(rename = "TTL")]
    ttl: String,
    deregister_critical_service_after: String,
    status: &'static str,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    content: &'a Content,
    #[serde(rename = "Check")]
    check: &'a Check,
}

impl Registration {
    /// The registration of an announcement.
    ///
    /// # Errors
    /// When it cannot be said in this spelling, with what to do instead.
    pub(super) fn of(announcement: &Announcement, spelling: Spelling) -> Result<Self, String> {
        let provider = &announcement.provider;
        if provider.id.is_empty() {
            return Err("Consul knows no service without an id; give it one".to_owned());
        }
        let metadata = metadata(provider, spelling)?;
        let (tags, meta, passing) = match spelling {
            Spelling::GoMicro => {
                let tags = tags::write(&metadata, &announcement.endpoints, &provider.version);
                (tags, BTreeMap::new(), 1)
            }
            Spelling::Plain => (Vec::new(), metadata, (provider.weight.hundredths() / 100).max(1)),
        };
        let address = match provider.address.host() {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.to_string(),
        };
        let ttl = announcement.ttl.max(TTL_MIN);
        Ok(Self {
            content: Content {
                id: provider.id.to_string(),
                name: announcement.service.to_string(),
                tags,
                address,
                port: provider.address.port(),
                meta,
                weights: Weights { passing, warning: 1 },
            },
            check: Check {
                id: format!("service:{}", provider.id),
                name: "announced by Wayside",
                ttl: format!("{}ms", ttl.as_millis()),
                deregister_critical_service_after: format!("{}s", (ttl * 3).max(REMOVAL_MIN).as_secs()),
                status: "passing",
            },
            ttl,
        })
    }

    /// What Consul calls the instance.
    pub(super) fn id(&self) -> &str {
        &self.content.id
    }

    /// How long the agent waits for a sign of life.
    pub(super) const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// What the agent is told.
    pub(super) fn body(&self) -> Vec<u8> {
        let whole = Whole { content: &self.content, check: &self.check };
        serde_json::to_vec(&whole).expect("texts and numbers are JSON")
    }

    /// Whether what an agent answers of the instance is what it was told.
    pub(super) fn is(&self, answer: &[u8]) -> bool {
        serde_json::from_slice::<Content>(answer).is_ok_and(|content| content == self.content)
    }

    /// Where a sign of life goes.
    pub(super) fn pass_path(&self) -> String {
        format!("/v1/agent/check/pass/{}", utf8_percent_encode(&self.check.id, PLAIN))
    }
}

/// Where an instance is asked for, and where it is taken out, by its id.
pub(super) fn look_path(id: &str) -> String {
    format!("/v1/agent/service/{}", utf8_percent_encode(id, PLAIN))
}

/// Where an instance is taken out, by its id.
pub(super) fn withdraw_path(id: &str) -> String {
    format!("/v1/agent/service/deregister/{}", utf8_percent_encode(id, PLAIN))
}

/// The metadata of a provider, with what Wayside reads from it and the spelling has no other place for.
fn metadata(provider: &Provider, spelling: Spelling) -> Result<BTreeMap<String, String>, String> {
    let mut metadata = provider.metadata.clone();
    let is_go_micro = spelling == Spelling::GoMicro;
    let mut say = |key: &str, value: String| metadata.insert(key.to_owned(), value);
    // Consul's own weights are whole numbers from 1 up.
    let whole = provider.weight != Weight::ZERO && provider.weight.hundredths().is_multiple_of(100);
    if provider.weight != Weight::ONE && (is_go_micro || !whole) {
        say("weight", provider.weight.to_string());
    }
    if let Some(zone) = &provider.zone {
        say("zone", zone.to_string());
    }
    if !is_go_micro && !provider.version.is_empty() {
        say("version", provider.version.to_string());
    }
    if entry::is_secure(&provider.metadata) != provider.secure {
        say("secure", provider.secure.to_string());
    }
    if entry::protocol(&provider.metadata, is_go_micro) != provider.protocol {
        let word = match provider.protocol {
            Protocol::Http1 => "http",
            Protocol::H2c => "grpc",
            Protocol::Mucp => "mucp",
            Protocol::Tcp if is_go_micro => {
                return Err("Go Micro has no word for tcp; announce it with announce=plain".to_owned());
            }
            Protocol::Tcp => "tcp",
        };
        say("protocol", word.to_owned());
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::consul::settings::Demands;

    fn announcement(change: impl FnOnce(&mut Provider)) -> Announcement {
        let mut provider = Provider::new("greeter-1", "10.0.0.5:8080".parse().unwrap());
        provider.metadata.insert("team".to_owned(), "blue".to_owned());
        change(&mut provider);
        Announcement {
            service: "greeter".parse().unwrap(),
            provider,
            service_metadata: BTreeMap::new(),
            endpoints: vec![json!({"name": "Say.Hello"})],
            ttl: Duration::from_secs(30),
            since: std::time::SystemTime::UNIX_EPOCH,
        }
    }

    fn body(registration: &Registration) -> Value {
        serde_json::from_slice(&registration.body()).unwrap()
    }

    /// What is read again of what was announced.
    fn read(registration: &Registration) -> Provider {
        let body = body(registration);
        let entry = json!({"Node": {}, "Service": body, "Checks": []});
        let entry: super::entry::Entry = serde_json::from_value(entry).unwrap();
        entry.decode(&Demands::default()).providers.pop().unwrap()
    }

    #[test]
    fn the_agent_is_told_what_lives_how_long() {
        let body = body(&Registration::of(&announcement(|_| {}), Spelling::Plain).unwrap());
        let expected = json!({
            "ID": "greeter-1", "Name": "greeter", "Tags": [], "Address": "10.0.0.5", "Port": 8080,
            "Meta": {"team": "blue"}, "Weights": {"Passing": 1, "Warning": 1},
            "Check": {
                "CheckID": "service:greeter-1", "Name": "announced by Wayside", "TTL": "30000ms",
                "DeregisterCriticalServiceAfter": "90s", "Status": "passing",
            },
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn what_is_announced_is_read_as_it_was_meant() {
        let full = |provider: &mut Provider| {
            provider.weight = Weight::from_hundredths(300);
            provider.zone = Some("a".into());
            provider.version = "1.0".into();
            provider.protocol = Protocol::Mucp;
            provider.secure = true;
        };
        let light = |provider: &mut Provider| {
            provider.weight = Weight::from_hundredths(50);
            provider.protocol = Protocol::H2c;
            provider.address = "[::1]:1".parse().unwrap();
        };
        let none = |provider: &mut Provider| provider.weight = Weight::ZERO;
        for spelling in [Spelling::GoMicro, Spelling::Plain] {
            for announcement in [announcement(full), announcement(light), announcement(none)] {
                let meant = &announcement.provider;
                let read = read(&Registration::of(&announcement, spelling).unwrap());
                let said = |p: &Provider| {
                    (
                        p.id.clone(),
                        p.address.clone(),
                        p.weight,
                        p.zone.clone(),
                        p.version.clone(),
                        p.protocol,
                        p.secure,
                    )
                };
                assert_eq!(said(&read), said(meant), "{spelling:?}");
                assert_eq!(read.metadata["team"], "blue");
            }
        }
    }

    #[test]
    fn what_somebody_changed_is_seen() {
        let registration = Registration::of(&announcement(|_| {}), Spelling::GoMicro).unwrap();
        let mut answer = body(&registration);
        let content = answer.as_object_mut().unwrap();
        let name = content.remove("Name").unwrap();
        content.insert("Service".to_owned(), name);
        content.insert("ContentHash".to_owned(), json!("x"));
        assert!(registration.is(&serde_json::to_vec(&answer).unwrap()));
        answer["Port"] = json!(1);
        assert!(!registration.is(&serde_json::to_vec(&answer).unwrap()));
        assert!(!registration.is(b"null"));
    }

    #[test]
    fn what_cannot_be_said_is_refused_with_the_cure() {
        let tcp = announcement(|provider| provider.protocol = Protocol::Tcp);
        assert!(Registration::of(&tcp, Spelling::GoMicro).unwrap_err().contains("announce=plain"));
        assert_eq!(read(&Registration::of(&tcp, Spelling::Plain).unwrap()).protocol, Protocol::Tcp);
        let nameless = announcement(|provider| provider.id = "".into());
        assert!(Registration::of(&nameless, Spelling::Plain).is_err());
    }
}
