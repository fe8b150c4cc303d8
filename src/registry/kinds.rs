//! The table of all registries: to add one, write its file and its line here.

use std::str::FromStr;
use std::sync::Arc;

use super::announcer::Announcer;
use super::url::UrlError;
use super::{Registry, consul, dns, etcd, file, fixed, zookeeper};

/// The announcer of a kind, by the last word of its line.
macro_rules! announcer {
    (announces $room:ident $scheme:literal $settings:ident) => {
        Ok(Arc::new($room::announcer($settings)))
    };
    (may_announce $room:ident $scheme:literal $settings:ident) => {
        Ok(Arc::new($room::announcer($settings)?))
    };
    (is_read_only $room:ident $scheme:literal $settings:ident) => {{
        let _ = $settings;
        let wrong = concat!("nothing can be announced in the registry ", $scheme, ", which is only read");
        Err(UrlError::new(wrong, announcing()))
    }};
}

/// One line per kind: its name in [`Settings`], its scheme, its room, an example of its URL, and whether it `announces`,
/// `may_announce` (by what its settings say), or `is_read_only`.
macro_rules! kinds {
    ($($kind:ident $scheme:literal $room:ident $example:literal $announces:ident)*) => {
        /// Which registry, and how it is reached: valid by construction.
        #[derive(Clone, Debug)]
        pub enum Settings {
            $(#[doc = concat!("`", $example, "`")] $kind($room::Settings),)*
        }

        /// The schemes of all kinds, each with an example of its URL.
        pub const EXAMPLES: &[(&str, &str)] = &[$(($scheme, $example)),*];

        /// The schemes of all kinds, each with the word for whether it takes announcements.
        const ANNOUNCES: &[(&str, &str)] = &[$(($scheme, stringify!($announces))),*];

        impl FromStr for Settings {
            type Err = UrlError;

            /// Reads a registry's URL: its scheme, a colon, and what the kind makes of the rest.
            fn from_str(url: &str) -> Result<Self, UrlError> {
                let Some((scheme, rest)) = url.trim().split_once(':') else {
                    let error = UrlError::new(format!("{url:?} names no kind of registry"), examples());
                    return Err(error.without_credentials(url));
                };
                match scheme {
                    $($scheme => {
                        let read = rest.parse().map_err(|error: UrlError| error.without_credentials(url));
                        read.map(Self::$kind)
                    })*
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

            /// The announcer of these settings; nothing is connected before something is announced.
            ///
            /// # Errors
            /// When this kind of registry, or this one, cannot be announced in.
            pub fn open_announcer(self) -> Result<Arc<dyn Announcer>, UrlError> {
                match self {
                    $(Self::$kind(settings) => announcer!($announces $room $scheme settings),)*
                }
            }
        }
    };
}

kinds! {
    ZooKeeper "zookeeper" zookeeper "zookeeper://127.0.0.1:2181" announces
    Etcd "etcd" etcd "etcd://127.0.0.1:2379" announces
    Consul "consul" consul "consul://127.0.0.1:8500" announces
    Dns "dns" dns "dns://127.0.0.1:8600?name={service}.service.consul" is_read_only
    File "file" file "file:providers.toml" may_announce
    Fixed "fixed" fixed "fixed:greeter=127.0.0.1:8080,127.0.0.1:8081" is_read_only
}

impl Settings {
    /// These settings with entries spelt in another format, where that format has them.
    ///
    /// # Errors
    /// When there is no such format, or this kind of registry spells its entries in one way only.
    pub fn with_format(self, format: &str) -> Result<Self, UrlError> {
        match self {
            Self::ZooKeeper(settings) => Ok(Self::ZooKeeper(settings.with_format(format)?)),
            Self::Etcd(settings) => Ok(Self::Etcd(settings.with_format(format)?)),
            Self::Consul(settings) => Ok(Self::Consul(settings.with_format(format)?)),
            Self::Dns(_) | Self::File(_) | Self::Fixed(_) => {
                Err(UrlError::new("this registry spells providers in one way only", "leave the format out"))
            }
        }
    }
}

/// The cure where a kind takes no announcements.
fn announcing() -> String {
    let takes = ANNOUNCES.iter().filter(|(_, word)| *word != "is_read_only").map(|(scheme, _)| *scheme);
    format!("announce in another: {}", takes.collect::<Vec<_>>().join(" or "))
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
    fn every_kind_announces_or_says_why_not() {
        for (scheme, word) in ANNOUNCES {
            let example = EXAMPLES.iter().find(|(known, _)| known == scheme).unwrap().1;
            match (example.parse::<Settings>().unwrap().open_announcer(), *word) {
                (Ok(announcer), "announces") => {
                    assert_eq!(announcer.kind(), *scheme);
                    // An address of this machine is found by its way there; to an agent on this machine there is none.
                    match announcer.server() {
                        Some(server) => assert!(example.contains(&server.to_string()), "{server}"),
                        None => assert_eq!(*scheme, "consul", "it tells no server"),
                    }
                }
                (Err(error), "may_announce" | "is_read_only") => {
                    assert!(error.to_string().contains("; "), "no cure: {error}");
                }
                (result, word) => panic!("{scheme} {word}: {result:?}"),
            }
        }
        let fixed = "fixed:a=h:1".parse::<Settings>().unwrap().open_announcer().unwrap_err().to_string();
        assert!(fixed.starts_with("nothing can be announced in the registry fixed"), "{fixed}");
        assert!(fixed.contains("; announce in another: zookeeper"), "{fixed}");
    }

    #[test]
    fn another_format_brings_its_own_folder() {
        let with = |url: &str, format| url.parse::<Settings>().unwrap().with_format(format);
        let at = |format| with("zookeeper://h?prefix=/x", format).unwrap().open().location();
        assert_eq!(at("go-micro"), "zookeeper://h:2181?prefix=/x");
        assert_ne!(at("curator"), "zookeeper://h:2181?prefix=/x");
        let error = with("file:folder", "nerve").unwrap_err().to_string();
        assert_eq!(error, "this registry spells providers in one way only; leave the format out");
        assert!(with("zookeeper://h", "none").is_err());
    }

    #[test]
    fn other_texts_are_told_what_to_write() {
        let error = |text: &str| text.parse::<Settings>().unwrap_err().to_string();
        assert!(
            error("zookeper://h")
                .starts_with("there is no kind of registry \"zookeper\"; write it like zookeeper://")
        );
        assert!(error("127.0.0.1").contains("names no kind of registry"));
        for url in [
            "tiger@h",
            "zookeeper://scott:tiger/x@h:2181",
            "etcd://scott:tiger?x@h:2379",
            "zookeeper://scott@h",
            "fixed:a=scott:tiger@h:1",
            "fixed:tiger@h",
        ] {
            let error = error(url);
            assert!(!error.contains("tiger") && error.contains("; leave "), "{url}: {error}");
        }
    }
}
