//! The counts that were committed, and what a change made of them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

/// By how much a count may differ.
pub(crate) const PERCENT: f64 = 5.0;

const HEAD: &str = "\
# Instructions for one call of each, in user space. Written by
#   benches/instructions/run --renew
# with these tools: another compiler makes other instructions of the same code.
";

/// What was counted, and with what.
#[derive(Debug, Deserialize)]
pub(crate) struct Baseline {
    /// The processor's kind.
    processor: String,
    /// The compiler, in its own words.
    compiler: String,
    /// Valgrind, in its own words.
    valgrind: String,
    /// Instructions of each case.
    pub(crate) instructions: BTreeMap<String, f64>,
}

/// What became of a count that is not what it was.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Grew { case: String, then: f64, now: f64 },
    Fell { case: String, then: f64, now: f64 },
    New { case: String },
    Gone { case: String },
}

fn path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "baseline.toml"].iter().collect()
}

/// What a program says of its version.
fn version(program: &str) -> String {
    let said =
        Command::new(program).arg("--version").output().unwrap_or_else(|_| panic!("there is no {program}"));
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

impl Baseline {
    /// These counts, as of this machine.
    pub(crate) fn of_here(instructions: BTreeMap<String, f64>) -> Self {
        let processor = std::env::consts::ARCH.to_owned();
        Self { processor, compiler: version("rustc"), valgrind: version("valgrind"), instructions }
    }

    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(path()).unwrap_or_default();
        toml::from_str(&text)
            .unwrap_or_else(|error| panic!("no baseline in {}, see --renew: {error}", path().display()))
    }

    pub(crate) fn write(&self) {
        let Self { processor, compiler, valgrind, instructions } = self;
        let mut text = format!(
            "{HEAD}processor = {processor:?}\ncompiler = {compiler:?}\nvalgrind = {valgrind:?}\n\n[instructions]\n"
        );
        for (case, count) in instructions {
            writeln!(text, "{case:?} = {count:.1}").unwrap();
        }
        std::fs::write(path(), text).unwrap();
    }

    /// What is not as it was, in the order of the names.
    pub(crate) fn verdicts(&self, now: &Self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (case, &now) in &now.instructions {
            let case = case.clone();
            match self.instructions.get(&case) {
                None => verdicts.push(Verdict::New { case }),
                Some(&then) if now > then * (1.0 + PERCENT / 100.0) => {
                    verdicts.push(Verdict::Grew { case, then, now });
                }
                Some(&then) if now < then * (1.0 - PERCENT / 100.0) => {
                    verdicts.push(Verdict::Fell { case, then, now });
                }
                Some(_) => {}
            }
        }
        let gone = self.instructions.keys().filter(|case| !now.instructions.contains_key(*case)).cloned();
        verdicts.extend(gone.map(|case| Verdict::Gone { case }));
        verdicts
    }

    /// Tells where the tools are others than those of the baseline, which may be the cause of all.
    pub(crate) fn tell_of_other_tools(&self, now: &Self) {
        let pairs = [
            (&self.processor, &now.processor),
            (&self.compiler, &now.compiler),
            (&self.valgrind, &now.valgrind),
        ];
        for (then, now) in pairs.into_iter().filter(|(then, now)| then != now) {
            println!("the baseline is of {then}, this is {now}: that may be the cause");
        }
    }
}

impl Verdict {
    pub(crate) fn case(&self) -> &str {
        let (Self::Grew { case, .. } | Self::Fell { case, .. } | Self::New { case } | Self::Gone { case }) =
            self;
        case
    }

    /// Whether a change must not pass with it.
    pub(crate) const fn fails(&self) -> bool {
        match self {
            Self::Grew { .. } | Self::New { .. } | Self::Gone { .. } => true,
            Self::Fell { .. } => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |then: &f64, now: &f64| (now / then - 1.0) * 100.0;
        match self {
            Self::Grew { case, then, now } => {
                write!(
                    f,
                    "{case} GREW by {:.1} %, from {then:.1} to {now:.1} instructions",
                    percent(then, now)
                )
            }
            Self::Fell { case, then, now } => write!(
                f,
                "{case} fell by {:.1} %, from {then:.1} to {now:.1} instructions: renew the baseline, so that it stays so",
                -percent(then, now)
            ),
            Self::New { case } => write!(f, "{case} is NOT IN THE BASELINE"),
            Self::Gone { case } => write!(f, "{case} is in the baseline, but NOTHING COUNTS IT"),
        }
    }
}
