//! Every key stands in `config/reference.toml`, with its true default and a sentence; and every file of `config/` is good.

use std::collections::BTreeMap;

use super::super::asked::{Absence, Asked};
use super::super::schema::{REFERENCE, Sentences, everything};
use super::*;

/// What the reader asks for in a text, and what it finds wrong.
pub(super) fn asked(text: &str) -> (Vec<Asked>, Vec<Mistake>) {
    let (mut tree, mistakes) = file::parse(text, 0);
    assert_eq!(mistakes, []);
    let reader = Reader::default();
    understand(&mut tree, &reader, &Overrides::default());
    reader.into_parts()
}

#[test]
fn every_key_is_there_with_its_default_and_a_sentence() {
    let text = everything(REFERENCE);
    let (asked, mistakes) = asked(&text);
    // What is shown side by side need not hold together, but nothing may be unknown or unreadable.
    let said: Vec<String> =
        mistakes.iter().map(|mistake| format!("{}: {}", mistake.key, mistake.message)).collect();
    assert_eq!(said, EXPECTED);
    let sentences = Sentences::of(&text);
    let lines: Vec<&str> = REFERENCE.lines().collect();
    let mut keys: BTreeMap<(String, &str), Vec<Asked>> = BTreeMap::new();
    for asked in asked {
        keys.entry((asked.section.clone(), asked.key)).or_default().push(asked);
    }
    for ((section, key), asked) in keys {
        let place = asked.iter().find_map(|asked| Some((asked.place?, asked)));
        let Some((Place::File { line, .. }, asked)) = place else { panic!("{section} {key} is missing") };
        let sentence = sentences.above(line);
        assert!(sentence.ends_with('.'), "{section} {key} has no sentence above it, but {sentence:?}");
        let is_on = !lines[line - 1].starts_with('#');
        let default = match &asked.absence {
            Absence::Required | Absence::Excusable => "Required.".to_owned(),
            Absence::Means(words) => format!("Default: {words}."),
            Absence::Default(value) if is_on => {
                assert_eq!(asked.value.as_ref(), Some(value), "{section} {key} is not at its default");
                continue;
            }
            Absence::Default(value) => format!("Default: {value}."),
        };
        assert!(sentence.ends_with(&default), "{section} {key}: {sentence:?} does not end with {default:?}");
        assert!(
            !is_on || matches!(asked.absence, Absence::Required | Absence::Excusable),
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
fn keys_and_texts_of_several_lines_read_back_as_themselves() {
    let text = r#"
        registry = { url = "file:a" }
        service = [{ name = "a", metadata = { "a\nb\"" = "x\n[y]\u007f'" } }]
        "#;
    let written = read(None, text, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    let again = read(None, written.to_toml(), &Overrides::default());
    let again = again.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again.to_toml(), written.to_toml());
    assert_eq!(again.declared, written.declared);
}

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

/// What is in force is written in the order in which it is asked for, and what comes behind a section within is of that.
#[test]
fn the_keys_of_a_section_are_asked_for_one_after_the_other() {
    let (mut tree, _) = file::parse(&everything(REFERENCE), 0);
    let reader = super::super::reader::Reader::default();
    understand(&mut tree, &reader, &Overrides::default());
    let (asked, _) = reader.into_parts();
    let section = |asked: &Asked| asked.trail.rsplit_once('.').map(|(section, _)| section.to_owned());
    let mut sections: Vec<Option<String>> = asked.iter().map(section).collect();
    sections.dedup();
    for (at, section) in sections.iter().enumerate() {
        assert!(!sections[..at].contains(section), "{section:?} is gone on with behind another section");
    }
}

#[test]
fn the_reference_is_what_holds_without_it() {
    let reference = read(None, REFERENCE, &Overrides::default()).unwrap();
    let bare = read(None, REGISTRY, &Overrides::default()).unwrap();
    assert_eq!(reference.to_toml(), bare.to_toml());
}
