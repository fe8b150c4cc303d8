//! What this program was built from.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;

/// What a program was built from, as far as it is known.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Build {
    /// The version.
    pub version: &'static str,
    /// The commit, with `-dirty` behind it where something was changed since. Known of builds for use, made where git or
    /// `WAYSIDE_COMMIT` tells it.
    pub commit: Option<&'static str>,
    /// The compiler, as it names itself.
    pub rustc: &'static str,
    /// The kind of machine and system it was built for.
    pub target: &'static str,
    /// `release`, or `debug` where it was built for tests.
    pub profile: &'static str,
    /// What is built in beyond what always is, joined by commas.
    pub features: &'static str,
    /// When it was built, in seconds since 1970: known only where `SOURCE_DATE_EPOCH` laid it down.
    #[serde(rename = "built_at_s")]
    pub epoch: Option<u64>,
}

/// What this one was built from.
pub const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    commit: known(env!("WAYSIDE_BUILD_COMMIT")),
    rustc: env!("WAYSIDE_BUILD_RUSTC"),
    target: env!("WAYSIDE_BUILD_TARGET"),
    profile: env!("WAYSIDE_BUILD_PROFILE"),
    features: env!("WAYSIDE_BUILD_FEATURES"),
    epoch: seconds(env!("WAYSIDE_BUILD_EPOCH")),
};

/// The version, and the commit where it is known.
pub const VERSION: &str = if BUILD.commit.is_none() {
    env!("CARGO_PKG_VERSION")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("WAYSIDE_BUILD_COMMIT"), ")")
};

const fn known(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}

const fn seconds(text: &str) -> Option<u64> {
    match u64::from_str_radix(text, 10) {
        Ok(seconds) => Some(seconds),
        Err(_) => None,
    }
}

impl fmt::Display for Build {
    /// A line for each thing that is known, the first of them without a word before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let built = self.epoch.map(|seconds| humantime::format_rfc3339_seconds(time(seconds)).to_string());
        write!(f, "{}", self.version)?;
        for (what, value) in [
            ("commit", self.commit),
            ("rustc", known(self.rustc.trim_start_matches("rustc "))),
            ("target", known(self.target)),
            ("profile", known(self.profile)),
            ("features", known(self.features)),
            ("built", built.as_deref()),
        ] {
            if let Some(value) = value {
                write!(f, "\n{what:<9} {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_left_out() {
        let bare = Build {
            commit: None,
            rustc: "",
            features: "",
            epoch: None,
            target: "t",
            profile: "debug",
            ..BUILD
        };
        assert_eq!(bare.to_string(), format!("{}\ntarget    t\nprofile   debug", BUILD.version));
        let full = Build {
            version: "1.2.3",
            commit: Some("0123456789ab-dirty"),
            rustc: "rustc 1.95.0 (59807616e 2026-04-14)",
            features: "otlp",
            epoch: Some(1_780_000_000),
            ..bare
        };
        insta::assert_snapshot!(full, @r"
        1.2.3
        commit    0123456789ab-dirty
        rustc     1.95.0 (59807616e 2026-04-14)
        target    t
        profile   debug
        features  otlp
        built     2026-05-28T20:26:40Z
        ");
    }

    #[test]
    fn this_build_knows_its_compiler_and_target() {
        assert!(BUILD.rustc.starts_with("rustc "), "{}", BUILD.rustc);
        assert!(BUILD.target.contains('-'), "{}", BUILD.target);
        assert!(VERSION.starts_with(BUILD.version), "{VERSION}");
    }
}
