//! Every key stands in `config/reference.toml`, with its true default and a sentence; and every file of `config/` is good.

use std::collections::BTreeMap;

use super::super::reader::{Absence, Asked};
use super::*;

pub(super) const REFERENCE: &str = include_str!("../../../config/reference.toml");

/// The reference with everything that is commented out in it switched on: settings begin with `#`, sentences with `# `.
pub(super) fn everything(text: &str) -> String {
    let switch_on = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(switch_on).collect::<Vec<_>>().join("\n")
}

/// What the reader asks for in a text, and what it finds wrong.
pub(super) fn asked(text: &str) -> (Vec<Asked>, Vec<Mistake>) {
    let (mut tree, mistakes) = file::parse(text);
    assert_eq!(mistakes, []);
    let reader = Reader::default();
    understand(&mut tree, &reader, &Overrides::default());
    reader.into_parts()
}

/// The sentences above each line of a text, joined.
fn sentences(text: &str) -> BTreeMap<usize, String> {
    let mut above = String::new();
    let mut sentences = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        match line.strip_prefix("# ") {
            Some(sentence) => above = format!("{above} {sentence}").trim().to_owned(),
            None => {
                sentences.insert(index + 1, std::mem::take(&mut above));
            }
        }
    }
    sentences
}

#[test]
fn every_key_is_there_with_its_default_and_a_sentence() {
    let text = everything(REFERENCE);
    let (asked, mistakes) = asked(&text);
    // What is shown side by side need not hold together, but nothing may be unknown or unreadable.
    let said: Vec<String> =
        mistakes.iter().map(|mistake| format!("{}: {}", mistake.key, mistake.message)).collect();
    assert_eq!(said, EXPECTED);
    let sentences = sentences(&text);
    let lines: Vec<&str> = REFERENCE.lines().collect();
    let mut keys: BTreeMap<(String, &str), Vec<Asked>> = BTreeMap::new();
    for asked in asked {
        keys.entry((asked.section.clone(), asked.key)).or_default().push(asked);
    }
    for ((section, key), asked) in keys {
        let place = asked.iter().find_map(|asked| Some((asked.place?, asked)));
        let Some((Place::File { line, .. }, asked)) = place else { panic!("{section} {key} is missing") };
        let sentence = &sentences[&line];
        assert!(sentence.ends_with('.'), "{section} {key} has no sentence above it, but {sentence:?}");
        let is_on = !lines[line - 1].starts_with('#');
        let default = match &asked.absence {
            Absence::Required => "Required.".to_owned(),
            Absence::Means(words) => format!("Default: {words}."),
            Absence::Default(value) if is_on => {
                assert_eq!(asked.value.as_ref(), Some(value), "{section} {key} is not at its default");
                continue;
            }
            Absence::Default(value) => format!("Default: {value}."),
        };
        assert!(sentence.ends_with(&default), "{section} {key}: {sentence:?} does not end with {default:?}");
        assert!(
            !is_on || asked.absence == Absence::Required,
            "{section} {key} has no default, and is not commented out"
        );
    }
}

/// What is wrong with the reference when all of its examples are switched on.
const EXPECTED: [&str; 13] = [
    "registry.services: the registry has a url already; leave out the one or the other",
    "listener.tls.cert: \"/etc/ssl/listener.pem\" is not a file with a certificate: it cannot be read: No such file or directory (os error 2); write one such as \"/etc/ssl/wayside.pem\"",
    "listener.tls.key: \"/etc/ssl/listener.key\" is not a file with a key: it cannot be read: No such file or directory (os error 2); write one such as \"/etc/ssl/wayside.key\"",
    "listener.tls.client_ca: \"/etc/ssl/clients-ca.pem\" is not a file of root certificates: it cannot be read: No such file or directory (os error 2); write one such as \"/etc/ssl/our-ca.pem\"",
    "listener.mode: 127.0.0.1:4140 has no file that could have permissions; leave mode out, or write an address such as \"unix:/run/wayside/greeter.sock\"",
    "service.tls.ca: \"/etc/ssl/greeter-ca.pem\" is not a file of root certificates: it cannot be read: No such file or directory (os error 2); write one such as \"/etc/ssl/our-ca.pem\"",
    "service.tls.crl: \"/etc/ssl/greeter-ca.crl\" is not a file of lists of revoked certificates: it cannot be read: No such file or directory (os error 2); write one such as \"/etc/ssl/our-ca.crl\"",
    "service.tls.client_cert: \"/etc/ssl/greeter.pem\" is not a file with a certificate: it cannot be read: No such file or directory (os error 2); write one such as \"/etc/ssl/wayside.pem\"",
    "service.tls.client_key: \"/etc/ssl/greeter.key\" is not a file with a key: it cannot be read: No such file or directory (os error 2); write one such as \"/etc/ssl/wayside.key\"",
    "upstream.tls.ca: \"/etc/ssl/our-ca.pem\" is not a file of root certificates: it cannot be read: No such file or directory (os error 2); write one such as \"/etc/ssl/our-ca.pem\"",
    "upstream.tls.crl: \"/etc/ssl/our-ca.crl\" is not a file of lists of revoked certificates: it cannot be read: No such file or directory (os error 2); write one such as \"/etc/ssl/our-ca.crl\"",
    "upstream.tls.client_cert: \"/etc/ssl/wayside.pem\" is not a file with a certificate: it cannot be read: No such file or directory (os error 2); write one such as \"/etc/ssl/wayside.pem\"",
    "upstream.tls.client_key: \"/etc/ssl/wayside.key\" is not a file with a key: it cannot be read: No such file or directory (os error 2); write one such as \"/etc/ssl/wayside.key\"",
];

#[test]
fn every_configuration_of_the_repository_is_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            if let Err(error) = load(Some(&path), &Overrides::default()) {
                panic!("{error}");
            }
            count += 1;
        }
    }
    assert!(count >= 4, "only {count} configurations were found");
}

#[test]
fn the_reference_is_what_holds_without_it() {
    let reference = read(None, REFERENCE, &Overrides::default()).unwrap();
    let bare = read(None, REGISTRY, &Overrides::default()).unwrap();
    assert_eq!(reference.to_toml(), bare.to_toml());
}
