//! Which Consul agent, how it is asked, and what of its answers counts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::provider::Address;
use crate::registry::Pace;
use crate::registry::url::{Options, UrlError};

/// The port of an agent where none is given.
const PORT: u16 = 8500;
/// How long the agent may wait for a change before it answers all the same.
const WAIT: Duration = Duration::from_mins(5);
/// The longest that an agent waits, whatever it is asked.
const WAIT_MAX: Duration = Duration::from_mins(10);
/// The cure for every mistake in the address.
const CURE: &str = "write consul://HOST:PORT, such as consul://127.0.0.1:8500";

/// Which Consul agent, how it is asked, and what of its answers counts. Made from a URL:
///
/// `consul://127.0.0.1:8500?dc=DC&tag=A,B&passing=false&consistency=default&wait=5m&audit=5m&announce=go-micro`
///
/// All but the host may be left out; the values above are the defaults, but for `dc` and `tag`, which are none. The token
/// never stands in the URL: see [`Settings::with_auth`].
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) agent: Address,
    /// The data centre that is asked; the agent's own when empty.
    pub(super) dc: String,
    pub(super) consistency: Consistency,
    pub(super) demands: Demands,
    pub(super) wait: Duration,
    pub(super) pace: Pace,
    pub(super) spelling: Spelling,
    pub(super) token: Option<Token>,
}

/// What an instance must be to be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Demands {
    /// Tags that it must all have.
    pub(super) tags: Vec<String>,
    /// Whether a warning check puts it out as a critical one does.
    pub(super) passing: bool,
}

/// Which of Consul's servers may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consistency {
    /// The leader, which may for a moment not know that it is none any more.
    Default,
    /// Any, which is cheap for a large fleet and works without a leader; the list may be older.
    Stale,
    /// The leader, which makes sure first that it is.
    Consistent,
}

/// How an instance is announced. How one is spelt that is read shows by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As Go Micro does: everything but the address in packed tags.
    GoMicro,
    /// As Consul means it: `Meta` and `Weights`.
    Plain,
}

/// A token of Consul's access control; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Settings {
    /// These settings with a token, for what not everybody may read or announce.
    #[must_use]
    pub fn with_auth(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// These settings with instances announced in another format, by its name.
    ///
    /// # Errors
    /// When nothing is announced to Consul in that format.
    pub fn with_format(mut self, format: &str) -> Result<Self, UrlError> {
        self.spelling = match format {
            "go-micro" => Spelling::GoMicro,
            "plain" => Spelling::Plain,
            _ => {
                let wrong = format!("nothing is announced to Consul in the format {format:?}");
                return Err(UrlError::new(wrong, "write go-micro or plain"));
            }
        };
        Ok(self)
    }

    /// Where the agent is, for an operator.
    pub(super) fn location(&self) -> String {
        let dc = if self.dc.is_empty() { String::new() } else { format!("?dc={}", self.dc) };
        format!("consul://{}{dc}", self.agent)
    }
}

impl FromStr for Settings {
    type Err = UrlError;

    /// Reads what stands behind `consul:`.
    fn from_str(rest: &str) -> Result<Self, UrlError> {
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(UrlError::new("there are no two slashes behind \"consul:\"", CURE));
        };
        let (agent, options) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = Options::parse(options)?;
        let pace = Pace::default();
        let second = Duration::from_secs(1);
        let tags = options.take("tag").unwrap_or_default();
        let settings = Self {
            agent: read_agent(agent.trim_end_matches('/'))?,
            dc: options.take("dc").unwrap_or_default(),
            consistency: one_of(
                &mut options,
                "consistency",
                &[
                    ("default", Consistency::Default),
                    ("stale", Consistency::Stale),
                    ("consistent", Consistency::Consistent),
                ],
            )?,
            demands: Demands {
                tags: tags
                    .split(',')
                    .map(str::trim)
                    .filter(|tag| !tag.is_empty())
                    .map(str::to_owned)
                    .collect(),
                passing: one_of(&mut options, "passing", &[("false", false), ("true", true)])?,
            },
            wait: options.duration("wait", WAIT, (second, WAIT_MAX))?,
            pace: Pace {
                audit: options.duration("audit", pace.audit, (second, Duration::from_hours(24)))?,
                ..pace
            },
            spelling: one_of(
                &mut options,
                "announce",
                &[("go-micro", Spelling::GoMicro), ("plain", Spelling::Plain)],
            )?,
            token: None,
        };
        options.finish()?;
        Ok(settings)
    }
}

/// The option's value among those there are; the first when it is not given.
fn one_of<T: Copy>(options: &mut Options, key: &'static str, all: &[(&str, T)]) -> Result<T, UrlError> {
    let given = options.take(key);
    let word = given.as_deref().unwrap_or(all[0].0);
    let found = all.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
        UrlError::new(format!("{key} is {word:?}"), format!("write {}", words.join(" or ")))
    })
}

/// The agent with its port.
fn read_agent(text: &str) -> Result<Address, UrlError> {
    if text.contains('@') {
        return Err(UrlError::new(
            "the URL holds credentials, and URLs are logged",
            "leave out what is before the @, and give the token as auth = \"TOKEN\" beside the URL",
        ));
    }
    let has_port = text.rfind(':') > text.rfind(']') && text.contains(':');
    let address = if has_port { text.parse() } else { Address::new(text, PORT) };
    address.map_err(|error| UrlError::new(format!("the Consul agent {text:?} is no address: {error}"), CURE))
}

impl FromStr for Token {
    type Err = UrlError;

    /// Takes a token as it is; the error does not show it.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        let wrong = "the token for Consul is empty, or has characters that no token has";
        Err(UrlError::new(wrong, "write the token's SecretID, such as a UUID"))
    }
}

impl Token {
    /// What `X-Consul-Token` takes.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rest: &str) -> Settings {
        rest.parse().unwrap()
    }

    fn error(rest: &str) -> String {
        rest.parse::<Settings>().unwrap_err().to_string()
    }

    #[test]
    fn all_but_the_host_may_be_left_out() {
        let settings = read("//agent");
        assert_eq!((settings.agent.to_string().as_str(), settings.dc.as_str()), ("agent:8500", ""));
        assert_eq!((settings.consistency, settings.spelling), (Consistency::Default, Spelling::GoMicro));
        assert_eq!(settings.demands, Demands::default());
        assert_eq!((settings.wait, settings.pace.audit), (Duration::from_mins(5), Duration::from_mins(5)));
    }

    #[test]
    fn everything_may_be_given() {
        let settings = read(
            "//[::1]:18500/?dc=dc2&tag=a,%20b&passing=true&consistency=stale&wait=1m&audit=10s&announce=plain",
        );
        assert_eq!((settings.agent.to_string().as_str(), settings.dc.as_str()), ("[::1]:18500", "dc2"));
        assert_eq!((settings.consistency, settings.spelling), (Consistency::Stale, Spelling::Plain));
        assert_eq!((settings.demands.tags.join("+").as_str(), settings.demands.passing), ("a+b", true));
        assert_eq!((settings.wait, settings.pace.audit), (Duration::from_mins(1), Duration::from_secs(10)));
    }

    #[test]
    fn mistakes_are_named_with_their_cure() {
        for (rest, culprit) in [
            ("h", "two slashes"),
            ("//", "the Consul agent \"\""),
            ("//h:x", "h:x"),
            ("//a,b", "a,b"),
            ("//h?wait=11m", "wait is \"11m\"; write a time from 1s to 10m"),
            ("//h?passing=yes", "passing is \"yes\"; write false or true"),
            ("//h?consistency=strong", "write default or stale or consistent"),
            ("//h?tags=a", "did you mean tag?"),
        ] {
            assert!(error(rest).contains(culprit), "{rest}: {}", error(rest));
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        assert!(!error("//tiger@h").contains("tiger"));
        let token: Token = "b1gs0-tiger".parse().unwrap();
        assert!(!format!("{:?}", read("//h").with_auth(token)).contains("tiger"));
        let error = "two tigers".parse::<Token>().unwrap_err().to_string();
        assert!(!error.contains("tiger") && "".parse::<Token>().is_err());
    }
}
