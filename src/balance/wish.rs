//! A wish: the endpoints that one request should go to, or must.

use std::collections::BTreeMap;

use crate::endpoint::{Endpoint, Token};
use crate::provider::Address;

/// The endpoints that one request should go to, or must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The endpoint with this token while it is available and has room; any other else.
    Prefer(Token),
    /// No other than this endpoint.
    Only(Named),
    /// None but those that announce this.
    Such {
        /// Exactly this version; any if `None`.
        version: Option<Box<str>>,
        /// All of these keys with exactly these values.
        metadata: BTreeMap<String, String>,
    },
}

/// One endpoint, by the name somebody gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The one at an address.
    Address(Address),
    /// The one with a token.
    Token(Token),
    /// Those whose record has this id.
    Id(Box<str>),
}

impl Wish {
    /// A wish for no other endpoint than the one named so: by its address, its token, or its id.
    pub fn only(name: &str) -> Self {
        let address = || name.parse().map(Named::Address);
        let token = || name.parse().map(Named::Token);
        Self::Only(address().or_else(|_| token()).unwrap_or_else(|_| Named::Id(name.into())))
    }

    /// Whether it is content with no other endpoints than those it names.
    pub const fn is_strict(&self) -> bool {
        match self {
            Self::Prefer(_) => false,
            Self::Only(_) | Self::Such { .. } => true,
        }
    }

    /// Whether it names this endpoint.
    pub fn wants(&self, endpoint: &Endpoint) -> bool {
        let provider = &endpoint.provider;
        match self {
            Self::Prefer(token) => endpoint.token() == *token,
            Self::Only(Named::Address(address)) => provider.address == *address,
            // An id may be spelled like a token.
            Self::Only(Named::Token(token)) => endpoint.token() == *token || token.is(&provider.id),
            Self::Only(Named::Id(id)) => *provider.id == **id,
            Self::Such { version, metadata } => {
                version.as_ref().is_none_or(|version| **version == *provider.version)
                    && metadata.iter().all(|(key, value)| provider.metadata.get(key) == Some(value))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::endpoint::Memory;
    use crate::provider::Provider;

    fn endpoint(id: &str, version: &str, metadata: &[(&str, &str)]) -> Endpoint {
        let mut provider = Provider::new(id, "10.0.0.1:80".parse().unwrap());
        provider.version = version.into();
        provider.metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let memory = Memory::new(1, provider.address.clone());
        Endpoint::new(Arc::new(provider), Arc::new(memory))
    }

    #[test]
    fn one_endpoint_goes_by_address_token_or_id() {
        let known = endpoint("greeter-1", "", &[]);
        let token = known.token().to_string();
        for name in ["10.0.0.1:80", "greeter-1", &token] {
            assert!(Wish::only(name).wants(&known), "{name}");
        }
        for name in ["10.0.0.1:81", "greeter-2", "0123456789abcdef", ""] {
            assert!(!Wish::only(name).wants(&known), "{name}");
        }
        let odd = endpoint("0123456789abcdef", "", &[]);
        assert!(Wish::only("0123456789abcdef").wants(&odd), "an id that reads as a token");
    }

    #[test]
    fn such_must_announce_all_of_it() {
        let such = |version: Option<&str>, metadata: &[(&str, &str)]| Wish::Such {
            version: version.map(Into::into),
            metadata: metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        let known = endpoint("a", "2", &[("gpu", "yes")]);
        assert!(such(None, &[]).wants(&known) && such(Some("2"), &[("gpu", "yes")]).wants(&known));
        assert!(!such(Some("1"), &[]).wants(&known) && !such(None, &[("gpu", "no")]).wants(&known));
        assert!(such(None, &[]).is_strict() && !Wish::Prefer(known.token()).is_strict());
    }
}
