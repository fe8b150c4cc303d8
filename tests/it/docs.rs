//! The README and the pages of docs/: every command is run, what they show is what is answered, and what they list is all there is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::pages::{Page, alone, root};
use crate::support::program::binary;

/// Blocks of commands that cannot be run here: the page, how many, and why.
const NOT_HERE: [(&str, usize, &str); 5] = [
    ("docs/bench/etcd.md", 1, "installs packages"),
    ("docs/bench/zookeeper.md", 1, "installs packages"),
    ("docs/how-to/http2.md", 1, "needs grpcurl and a gRPC server that tells what it offers"),
    ("docs/how-to/machines.md", 5, "needs systemd, Docker, Kubernetes, or builds the program"),
    ("docs/start/go-micro.md", 1, "needs a program of the reader's own"),
];

/// Runs all pages below a folder, or one page.
fn run(place: &str) {
    let pages = Page::all().into_iter().filter(|page| page.path.starts_with(place));
    let faults: Vec<String> = pages.flat_map(|page| page.faults()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn the_readme_leads_to_an_answer() {
    run("README.md");
}

#[test]
fn quick_starts_lead_to_an_answer() {
    run("docs/start");
}

#[test]
fn how_tos_do_what_they_say() {
    run("docs/how-to");
}

#[test]
fn services_move_from_one_registry_to_another() {
    run("docs/migration.md");
}

#[test]
fn the_rest_is_as_it_is_shown() {
    for place in ["docs/about.md", "docs/bench", "docs/concepts", "docs/reference", "docs/troubleshooting.md"]
    {
        run(place);
    }
}

#[test]
fn a_new_reader_comes_to_a_graph() {
    let path = root().join("docs/path");
    let script = "ip link set lo up; exec \"$0\" \"$1\"";
    let output = alone(&["sh", "-c", script, path.to_str().unwrap(), &binary()]).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("Prometheus says: {\"status\":\"success\""), "{said}");
    println!("{said}");
}

#[test]
fn no_page_is_left_out() {
    let ran = ["README.md", "docs/start", "docs/how-to", "docs/migration.md", "docs/about.md", "docs/bench"];
    let ran = [&ran[..], &["docs/concepts", "docs/reference", "docs/troubleshooting.md"]].concat();
    let mut not_here = BTreeMap::new();
    let summary = Page::read(Path::new("docs/SUMMARY.md"));
    let listed: Vec<_> = summary.links().iter().map(|link| summary.leads_to(link)).collect();
    for page in Page::all() {
        let path = page.path.to_str().unwrap();
        for block in page.blocks() {
            match block.info.as_str() {
                "sh" => assert!(ran.iter().any(|place| page.path.starts_with(place)), "{path} is not run"),
                "sh,not-here" => *not_here.entry(path.to_owned()).or_insert(0) += 1,
                "toml" | "text" | "console" | "" => {}
                other => panic!("{path}: a block is {other:?}: is it run, and by what?"),
            }
        }
        if path != "README.md" && path != "docs/SUMMARY.md" {
            assert!(listed.contains(&page.path), "{path} is not in docs/SUMMARY.md");
        }
    }
    let known: BTreeMap<_, _> =
        NOT_HERE.iter().map(|(page, count, _)| ((*page).to_owned(), *count)).collect();
    assert_eq!(not_here, known, "blocks that are not run");
}

/// What a heading is called in links.
fn anchor(heading: &str) -> String {
    let letters = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = letters.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[test]
fn links_lead_somewhere() {
    for page in Page::all() {
        for link in page.links().into_iter().filter(|link| !link.starts_with("http")) {
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.path.clone() } else { page.leads_to(file) };
            assert!(root().join(&target).exists(), "{}: {link} leads nowhere", page.path.display());
            if !place.is_empty() {
                let target = Page::read(&target);
                let mut headings = target.text.lines().filter(|line| line.starts_with('#'));
                let found = headings.any(|heading| anchor(heading) == place);
                assert!(found, "{}: {link} leads to no heading", page.path.display());
            }
        }
    }
}

/// The statuses that `src/proxy/error.rs` names.
const STATUSES: [(&str, &str); 13] = [
    ("BAD_REQUEST", "400"),
    ("FORBIDDEN", "403"),
    ("NOT_FOUND", "404"),
    ("METHOD_NOT_ALLOWED", "405"),
    ("PAYLOAD_TOO_LARGE", "413"),
    ("URI_TOO_LONG", "414"),
    ("TOO_MANY_REQUESTS", "429"),
    ("REQUEST_HEADER_FIELDS_TOO_LARGE", "431"),
    ("INTERNAL_SERVER_ERROR", "500"),
    ("BAD_GATEWAY", "502"),
    ("SERVICE_UNAVAILABLE", "503"),
    ("GATEWAY_TIMEOUT", "504"),
    ("LOOP_DETECTED", "508"),
];

/// The words in quotes right behind a text, each with what follows it.
fn words<'a>(source: &'a str, behind: &str) -> Vec<(&'a str, &'a str)> {
    let found = source.split(behind).skip(1).filter_map(|rest| rest.split_once('"'));
    let is_word = |word: &str| {
        !word.is_empty()
            && word.chars().all(|letter| "_0123456789".contains(letter) || letter.is_ascii_lowercase())
    };
    found.filter(|(word, _)| is_word(word)).collect()
}

#[test]
fn every_reason_has_its_row() {
    let source = |path: &str| Page::read(Path::new(path)).text;
    let page = source("docs/reference/errors.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows: BTreeMap<&str, &str> =
        rows.map(|(reason, rest)| (reason, rest.split(" |").next().unwrap())).collect();
    let error = source("src/proxy/error.rs");
    let tellings = words(&error, "telling(\"");
    assert!(tellings.len() >= 35, "{}", tellings.len());
    for (reason, rest) in &tellings {
        let name = rest.trim_start_matches(", ").trim_start_matches("StatusCode::").trim_start_matches("S::");
        let name = name.split(',').next().unwrap();
        let status = STATUSES.iter().find(|(known, _)| *known == name);
        if let (Some((_, status)), Some(row)) = (status, rows.get(reason)) {
            assert!(row == status, "{reason} has status {status}, not {row}");
        }
    }
    let others = [
        ("src/upstream/tls/error.rs", "=> \""),
        ("src/proxy/client/refused.rs", "=> \""),
        ("src/proxy/raw/account.rs", "=> Some(\""),
        ("src/proxy/record.rs", "const GONE: &str = \""),
        ("src/proxy/record.rs", "const BROKEN: &str = \""),
    ];
    let others: Vec<_> = others.map(|(path, behind)| (source(path), behind)).into();
    let others = others.iter().flat_map(|(text, behind)| {
        let found = words(text, behind);
        assert!(!found.is_empty(), "{behind}");
        found
    });
    let reasons: BTreeSet<&str> = tellings.iter().copied().chain(others).map(|(reason, _)| reason).collect();
    assert_eq!(rows.keys().copied().collect::<BTreeSet<_>>(), reasons);
}
