//! Which registries are followed, by what names, and what flags and the environment make of them.

use super::*;
use crate::catalog::Role;

/// The name, role and place of each registry.
fn sources(config: &Config) -> Vec<(String, Role, String)> {
    let open = config.open_sources().into_iter();
    open.map(|source| (source.name.to_string(), source.role, source.registry.location())).collect()
}

fn locations(config: &Config) -> Vec<String> {
    sources(config).into_iter().map(|(_, _, location)| location).collect()
}

#[test]
fn registries_are_named_for_their_kinds_unless_they_have_names() {
    let text = "[[registry]]\nurl = \"file:a\"\n[[registry]]\nurl = \"file:b\"\nrole = \"fallback\"\n\
                [[registry]]\nurl = \"file:c\"\nname = \"new\"\nrole = \"shadow\"\n[[registry]]\nurl = \"file:d\"\n\
                [[service]]\nname = \"greeter\"\nregistries = \"file-2\"";
    let config = read(None, text, &Overrides::default()).unwrap();
    let own = |name: &str, role, location: &str| (name.to_owned(), role, location.to_owned());
    assert_eq!(
        sources(&config),
        [
            own("file", Role::Use, "a"),
            own("file-2", Role::Fallback, "b"),
            own("new", Role::Shadow, "c"),
            own("file-4", Role::Use, "d"),
        ]
    );
    let greeter: Vec<&str> = config.restrictions["greeter"].iter().map(|name| &**name).collect();
    assert_eq!(greeter, ["file-2"]);
    let nine = "[[registry]]\nurl = \"file:a\"\n".repeat(9);
    let mistakes = read(None, &nine, &Overrides::default()).unwrap_err().to_string();
    assert!(mistakes.ends_with("9 registries are more than can be followed; write 8 at most"), "{mistakes}");
}

#[test]
fn flags_take_the_place_of_all_registries_or_of_one_url() {
    let given = |text: &str| given("--registry", text);
    let one = "[registry]\nname = \"mine\"\nurl = \"file:a\"";
    let two = "[[registry]]\nurl = \"file:a\"\n[[registry]]\nurl = \"file:b\"\nrole = \"shadow\"";
    for (file, flags, expected) in [
        ("", &["file:x"][..], &["x"][..]),
        (one, &["file:x"], &["x"]),
        (one, &["file:x", "file:y"], &["x", "y"]),
        (two, &[], &["a", "b"]),
        (two, &["file:x"], &["x"]),
    ] {
        let registries = flags.iter().map(|text| given(text)).collect();
        let config = read(None, file, &Overrides { registries, ..Overrides::default() }).unwrap();
        assert_eq!(locations(&config), expected, "{file} {flags:?}");
    }
    let registries = vec![given("file:x")];
    let config = read(None, one, &Overrides { registries, ..Overrides::default() }).unwrap();
    assert_eq!(&*config.sources[0].name, "mine", "what is not said stays");
}

#[test]
fn credentials_are_for_the_registry_of_their_place() {
    let two = "[[registry]]\nurl = \"zookeeper://h:1\"\n[[registry]]\nurl = \"file:b\"";
    let auth = |place| Overrides {
        registry_auth: vec![(place, given("THE_VARIABLE", "a:b"))],
        ..Overrides::default()
    };
    assert!(read(None, two, &auth(0)).is_ok());
    let said = |place| read(None, two, &auth(place)).unwrap_err().to_string();
    assert_eq!(said(1), "THE_VARIABLE: this registry asks for no credentials; leave them out");
    assert!(
        said(5).starts_with("THE_VARIABLE: registry.url is missing; write one such as url ="),
        "{}",
        said(5)
    );
}

#[test]
fn the_folder_of_the_store_is_the_one_of_the_file_or_of_the_system() {
    let system = Overrides {
        state_directory: Some(given("STATE_DIRECTORY", "/var/lib/wayside:/var/lib/other")),
        ..Overrides::default()
    };
    let folder = |sections: &str, overrides: &Overrides| {
        let config = read(None, &format!("{REGISTRY}{sections}"), overrides).unwrap();
        config.store.map(|folder| folder.display().to_string())
    };
    assert_eq!(folder("", &Overrides::default()), None);
    assert_eq!(folder("", &system).as_deref(), Some("/var/lib/wayside"));
    assert_eq!(folder("[store]\nfolder = \"here\"", &system).as_deref(), Some("here"));
    assert_eq!(folder("[store]\nenabled = false", &system), None);
}
