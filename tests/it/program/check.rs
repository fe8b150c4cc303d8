//! `wayside check`, and the mistakes of the command line: what is said, and the exit code.

use std::fs;
use std::path::Path;

use crate::support::program::whole;

#[test]
fn every_file_of_config_is_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let (code, said, complaint) = whole(&["check", path.to_str().unwrap()], &[]);
        assert_eq!((code, complaint.as_str()), (0, ""), "{}", path.display());
        assert!(said.contains(" is good: listens on 127.0.0.1:4140"), "{said}");
        files += 1;
    }
    assert!(files >= 4, "{files}");
}

#[test]
fn mistakes_are_told_all_at_once_with_line_and_cure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    fs::write(&file, "workrs = 2\n[registry]\nurl = \"zookeper://h:1\"\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [["check", file].as_slice(), &["run", "--config", file]] {
        let (code, said, complaint) = whole(arguments, &[]);
        assert_eq!((code, said.as_str()), (1, ""), "{complaint}");
        for part in [
            &format!("{file}:1"),
            "workers",
            "1 | workrs = 2\n",
            &format!("{file}:3"),
            "zookeeper://",
            "2 mistakes",
        ] {
            assert!(complaint.contains(part), "{part} in:\n{complaint}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_another_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    let missing = missing.to_str().unwrap();
    for arguments in [["check", missing].as_slice(), &["run", "--config", missing]] {
        let (code, _, complaint) = whole(arguments, &[]);
        assert_eq!(code, 2, "{complaint}");
        assert!(complaint.contains(missing) && complaint.contains("No such file"), "{complaint}");
    }
    let (code, _, complaint) = whole(&["run"], &[]);
    assert_eq!(code, 2);
    for example in ["--registry zookeeper://", "--registry fixed:", "--config", "wayside demo"] {
        assert!(complaint.contains(example), "{example} in:\n{complaint}");
    }
    assert_eq!(whole(&["rnu"], &[]).0, 2);
}

#[test]
fn secrets_of_the_environment_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("good.toml");
    fs::write(&file, "[registry]\nurl = \"zookeeper://127.0.0.1:2181\"\n").unwrap();
    let variables = [("WAYSIDE_REGISTRY_AUTH", "user:verysecret"), ("WAYSIDE_WORKERS", "3")];
    let (code, said, complaint) = whole(&["check", "--show", file.to_str().unwrap()], &variables);
    assert_eq!((code, complaint.as_str()), (0, ""));
    assert!(said.contains("workers = 3") && !said.contains("verysecret"), "{said}");
}
