//! The table of all registries: to add one, write its file and its line here.

use std::str::FromStr;
use std::sync::Arc;

use super::url::UrlError;
use super::{Registry, consul, dns, etcd, file, fixed, zookeeper};

/// One line per kind: its name in [`Settings`], its scheme, its room, and an example of its URL.
macro_rules! kinds {
    ($($kind:ident $scheme:literal $room:ident $example:literal)*) => {
        /// Which registry, and how it is reached: valid by construction.
        #[derive(Clone, Debug)]
        pub enum Settings {
            $(#[doc = concat!("`", $example, "`")] $kind($room::Settings),)*
        }

        /// The schemes of all kinds, each with an example of its URL.
        pub const EXAMPLES: &[(&str, &str)] = &[$(($scheme, $example)),*];

        impl FromStr for Settings {
            type Err = UrlError;

            /// Reads a registry's URL: its scheme, a colon, and what the kind makes of the rest.
            fn from_str(url: &str) -> Result<Self, UrlError> {
                let Some((scheme, rest)) = url.trim().split_once(':') else {
                    return Err(UrlError::new(format!("{url:?} names no kind of registry"), examples()));
                };
                match scheme {
                    $($scheme => Ok(Self::$kind(rest.parse()?)),)*
                    _ => Err(UrlError::new(format!("there is no kind of registry {scheme:?}"), examples())),
                }
            }
        }

        impl Settings {
            /// The kind, as the scheme of its URL says it.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $scheme,)*
                }
            }

            /// The registry of these settings; nothing is connected before it is watched.
            pub fn open(self) -> Arc<dyn Registry> {
                match self {
                    $(Self::$kind(settings) => Arc::new($room::open(settings)),)*
                }
            }
        }
    };
}

kinds! {
    ZooKeeper "zookeeper" zookeeper "zookeeper://127.0.0.1:2181"
    Etcd "etcd" etcd "etcd://127.0.0.1:2379"
    Consul "consul" consul "consul://127.0.0.1:8500"
    Dns "dns" dns "dns://127.0.0.1:8600?name={service}.service.consul"
    File "file" file "file:providers.toml"
    Fixed "fixed" fixed "fixed:greeter=127.0.0.1:8080,127.0.0.1:8081"
}

/// The cure for a URL of no kind.
fn examples() -> String {
    let examples: Vec<&str> = EXAMPLES.iter().map(|(_, example)| *example).collect();
    format!("write it like {}", examples.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_names_its_kind() {
        for (scheme, example) in EXAMPLES {
            let registry = example.parse::<Settings>().unwrap().open();
            assert_eq!(registry.kind(), *scheme);
        }
    }

    #[test]
    fn other_texts_are_told_what_to_write() {
        let error = |text: &str| text.parse::<Settings>().unwrap_err().to_string();
        assert!(
            error("zookeper://h")
                .starts_with("there is no kind of registry \"zookeper\"; write it like zookeeper://")
        );
        assert!(error("127.0.0.1").contains("names no kind of registry"));
    }
}
