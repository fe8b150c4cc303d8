//! How many instructions a pick, the decoding of a record and a forwarded request take, held against `baseline.toml`.
//!
//! Counts say less than times of what a user sees, but hardly differ from run to run, on a busy machine too: so they can tell a
//! regression of a few percent. Callgrind counts a whole process, so each case is run twice, with N calls and with 2 N: the
//! difference is that of N calls, whatever else the process does from its start to its end.
//!
//! `run` builds and starts it, and says how it is used.

#![expect(clippy::unwrap_used, reason = "a bench may stop at what cannot happen")]
#![expect(clippy::print_stdout, reason = "what was counted is shown")]

mod baseline;
mod callgrind;
mod decode;
mod forward;
mod pick;

use std::collections::BTreeMap;
use std::process::ExitCode;

use baseline::{Baseline, Verdict};

/// The first argument of the process that is counted; what follows is the case and its calls.
const CALL: &str = "--call";

/// What is counted.
struct Case {
    /// Its name in the baseline: what, and of which kind.
    name: String,
    /// How many calls are counted.
    calls: u64,
    work: Work,
}

/// How the calls are made.
enum Work {
    /// By this program, told to make so many of them and nothing else.
    Here(Box<dyn Fn(u64)>),
    /// By asking the proxy, which alone is counted.
    Proxy(&'static forward::Asked),
}

impl Case {
    fn here(name: String, calls: u64, work: impl Fn(u64) + 'static) -> Self {
        Self { name, calls, work: Work::Here(Box::new(work)) }
    }

    /// Instructions of one call.
    fn count(&self) -> f64 {
        let of = |calls| match &self.work {
            Work::Here(_) => callgrind::counted(&[CALL, &self.name, &u64::to_string(&calls)]),
            Work::Proxy(asked) => forward::counted(asked, calls),
        };
        let (once, twice) = (of(self.calls), of(2 * self.calls));
        (twice as f64 - once as f64) / self.calls as f64
    }
}

fn cases() -> Vec<Case> {
    let forward = |asked: &'static forward::Asked| Case {
        name: format!("forward/{}", asked.name),
        calls: forward::CALLS,
        work: Work::Proxy(asked),
    };
    pick::cases().chain(decode::cases()).chain(forward::ASKED.iter().map(forward)).collect()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [CALL, name, calls] => {
            let case = cases().into_iter().find(|case| case.name == name).unwrap();
            if let Work::Here(work) = case.work {
                work(calls.parse().unwrap());
            }
            ExitCode::SUCCESS
        }
        [] => judge(""),
        ["--renew"] => renew(),
        [wanted] if !wanted.starts_with('-') => judge(wanted),
        _ => {
            println!("there is nothing to say to this bench but --renew, or a part of the names of cases");
            ExitCode::FAILURE
        }
    }
}

/// Counts every case whose name has this in it.
fn counts(wanted: &str) -> BTreeMap<String, f64> {
    callgrind::check();
    let wanted = cases().into_iter().filter(|case| case.name.contains(wanted));
    wanted
        .map(|case| {
            let count = case.count();
            println!("{:32} {count:12.1}", case.name);
            (case.name, count)
        })
        .collect()
}

fn renew() -> ExitCode {
    let renewed = Baseline::of_here(counts(""));
    renewed.write();
    println!("\nthe baseline is renewed; look at what differs, and say in the commit why");
    ExitCode::SUCCESS
}

/// Counts, and tells what became more or less than the baseline has it.
fn judge(wanted: &str) -> ExitCode {
    let then = Baseline::read();
    let now = Baseline::of_here(counts(wanted));
    let mut verdicts = then.verdicts(&now);
    verdicts.retain(|verdict| verdict.case().contains(wanted));
    println!();
    for verdict in &verdicts {
        println!("{verdict}");
    }
    if verdicts.iter().any(Verdict::fails) {
        then.tell_of_other_tools(&now);
        println!("where that is meant: benches/instructions/run --renew, and say in the commit why");
        return ExitCode::FAILURE;
    }
    println!(
        "{} counts are within {} % of the baseline, or below",
        now.instructions.len(),
        baseline::PERCENT
    );
    ExitCode::SUCCESS
}
