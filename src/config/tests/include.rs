//! What becomes of files that include others.

use std::fs;

use super::*;

/// A folder with these files; the first is the configuration.
fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let first = folder.path().join(files[0].0);
    (folder, first)
}

fn loaded(files: &[(&str, &str)]) -> Config {
    let (_folder, first) = folder(files);
    load(Some(&first), &Overrides::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Where a value comes from, without the folder.
fn origin(config: &Config, path: &str) -> String {
    let value = config.in_force().iter().find(|value| value.path == path).unwrap();
    match &value.origin {
        Origin::File { file: Some(file), line, .. } => {
            format!("{}:{line}", Path::new(&**file).file_name().unwrap().to_str().unwrap())
        }
        other @ (Origin::Default | Origin::File { .. } | Origin::Variable(_) | Origin::Flag(_)) => {
            format!("{other:?}")
        }
    }
}

#[test]
fn what_is_included_is_laid_over_and_the_last_says_it() {
    let config = loaded(&[
        (
            "wayside.toml",
            "include = [\"conf.d/*.toml\", \"last.toml\"]\nworkers = 1\nzone = \"main\"\n\
             [registry]\nurl = \"file:a\"\n[timeouts]\nconnect = \"1s\"\nrequest = \"9s\"\n[services]\nzones = [\"x\", \"y\"]\n",
        ),
        ("conf.d/20.toml", "workers = 3\n[timeouts]\nconnect = \"3s\"\n[services]\nzones = [\"z\"]\n"),
        ("conf.d/10.toml", "workers = 2\n[timeouts]\nheader = \"2s\"\n"),
        ("conf.d/30.toml.off", "workers = 5\n"),
        ("conf.d/.hidden.toml", "workers = 6\n"),
        ("last.toml", "\n\nworkers = 4\n"),
    ]);
    assert_eq!(config.workers, 4);
    assert_eq!(origin(&config, "workers"), "last.toml:3");
    assert_eq!(config.layouts.usual.zone.as_deref(), Some("main"));
    assert_eq!(config.upstream.connect_timeout, Duration::from_secs(3));
    assert_eq!(origin(&config, "timeouts.connect"), "20.toml:3");
    assert_eq!(origin(&config, "timeouts.header"), "10.toml:3");
    assert_eq!(origin(&config, "timeouts.request"), "wayside.toml:8");
    assert_eq!(config.layouts.usual.zones, [Arc::<str>::from("z")], "a list of values is not joined");
    assert!(!config.to_toml().contains("include"), "what was included is not included again");
    let names = |path: &str| config.files.iter().any(|file| file.ends_with(path));
    for path in ["conf.d", "conf.d/10.toml", "conf.d/20.toml", "last.toml"] {
        assert!(names(path), "{path} is followed: {:?}", config.files);
    }
    assert!(!names("30.toml.off"));
}

#[test]
fn lists_of_sections_are_joined_in_order() {
    let config = loaded(&[
        (
            "wayside.toml",
            "include = [\"a.toml\"]\n[registry]\nurl = \"file:a\"\n[[route]]\nname = \"one\"\nservice = \"s\"\npath = \"/1\"\n",
        ),
        (
            "a.toml",
            "include = \"b.toml\"\n[[registry]]\nurl = \"file:b\"\n[[route]]\nname = \"two\"\nservice = \"s\"\npath = \"/2\"\n",
        ),
        ("b.toml", "[[route]]\nname = \"three\"\nservice = \"s\"\n"),
    ]);
    let routes: Vec<&str> = config.routes.routes().iter().map(|route| &*route.name).collect();
    assert_eq!(routes, ["one", "two", "three"]);
    assert_eq!(config.sources.len(), 2);
    assert_eq!(origin(&config, "route.3.name"), "b.toml:2");
    assert_eq!(origin(&config, "route.1.strip_prefix"), "Default");
}

#[test]
fn a_mistake_names_the_file_that_it_is_in() {
    let (folder, first) = folder(&[
        ("wayside.toml", "include = [\"a.toml\"]\nworkrs = 1\n[registry]\nurl = \"file:a\"\n"),
        ("a.toml", "[log]\nlevel = \"loud\"\n"),
    ]);
    let error = load(Some(&first), &Overrides::default()).unwrap_err();
    let said = error.to_string().replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(
        said,
        "wayside.toml:2:1: workrs: there is no such key; write workers\n\
         a.toml:2:9: log.level: there is no \"loud\"; write \"off\" or \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\""
    );
    let ConfigError::Mistakes(mistakes) = error else { panic!("it can be read") };
    assert!(mistakes.files().iter().any(|file| file.ends_with("a.toml")), "a change of it may be the cure");
}

#[test]
fn secrets_are_read_from_files_and_never_shown() {
    let (folder, first) =
        folder(&[("wayside.toml", ""), ("auth", "user:planted\n"), ("bearer", "Bearer planted")]);
    let here = folder.path().display();
    let text = format!(
        "[registry]\nurl = \"zookeeper://127.0.0.1:1\"\nauth = {{ file = \"{here}/auth\" }}\n[[service]]\nname = \"a\"\n\
         [service.request_headers]\nset = {{ authorization = {{ file = \"{here}/bearer\" }} }}\nadd = {{ x-token = [{{ file = \"{here}/bearer\" }}] }}\n"
    );
    fs::write(&first, text).unwrap();
    let load = || load(Some(&first), &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    let old = load();
    for shown in [old.to_toml().to_owned(), old.annotated(&[]), old.annotated_json(false).to_string()] {
        assert!(!shown.contains("planted"), "{shown}");
    }
    assert!(old.annotated_changes().contains("# auth = ***"), "{}", old.annotated_changes());
    for name in ["auth", "bearer"] {
        assert!(old.files.contains(&folder.path().join(name)), "it is followed");
    }
    let declared = &old.routes.naming().declared;
    let (_, declared) = declared.iter().next().unwrap();
    assert_eq!(declared.rules.request_headers.as_ref().unwrap().set.len(), 1);
    fs::write(folder.path().join("auth"), "user:planted-2").unwrap();
    fs::write(folder.path().join("bearer"), "planted-2").unwrap();
    let new = load();
    assert_eq!(
        old.wording().changed_secrets(new.wording()),
        ["registry.auth", "service.request_headers.add", "service.request_headers.set"]
    );
}
