//! Files of the store, good and bad ones.

use std::sync::Arc;

use tempfile::TempDir;

use super::super::document::Kept;
use super::*;
use crate::provider::Provider;

fn file(folder: &TempDir) -> StoreFile {
    StoreFile::new(folder.path(), "zookeeper", "zookeeper", "127.0.0.1:2181/micro-registry".to_owned())
}

fn services() -> Services {
    let provider = Arc::new(Provider::new("a", "10.0.0.1:80".parse().unwrap()));
    let seen = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    [("greeter".parse().unwrap(), Kept { providers: vec![provider], seen })].into()
}

/// The names of all files in a folder, in order.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_is_saved_is_loaded_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder);
    assert_eq!(file.load(), Services::new(), "there is none yet");
    file.save(&Services::new()).unwrap();
    file.save(&services()).unwrap();
    assert_eq!(file.load(), services());
    assert_eq!(names(&folder).len(), 1);
    let missing = StoreFile::new(&folder.path().join("a/b"), "x", "x", String::new());
    missing.save(&services()).unwrap();
    assert_eq!(missing.load(), services(), "folders are made");
}

#[test]
fn a_bad_file_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder);
    file.save(&services()).unwrap();
    let good = fs::read(file.path()).unwrap();
    for bad in [&good[..good.len() - 1], &good[..10], b"", b"{}"] {
        fs::write(file.path(), bad).unwrap();
        assert_eq!(file.load(), Services::new());
        let aside = names(&folder);
        assert!(aside.len() == 1 && aside[0].ends_with(".unusable"), "{aside:?}");
        assert_eq!(fs::read(folder.path().join(&aside[0])).unwrap(), bad);
    }
    File::create(file.path()).unwrap().set_len(BYTES_MAX as u64 * 100).unwrap();
    assert_eq!(file.load(), Services::new(), "no more than a bound is read");
}

#[test]
fn registries_of_one_name_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) =
        (file(&folder), StoreFile::new(folder.path(), "zookeeper", "zookeeper", "else".to_owned()));
    one.save(&services()).unwrap();
    assert_eq!(other.load(), Services::new());
    fs::copy(one.path(), other.path()).unwrap();
    assert_eq!(other.load(), Services::new(), "it says of which registry it is");
    assert_eq!(one.load(), services());
}

#[test]
fn a_place_that_cannot_be_written_or_read_is_no_catastrophe() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("occupied");
    fs::write(&occupied, "").unwrap();
    let file = StoreFile::new(&occupied, "x", "x", String::new());
    assert_eq!(file.load(), Services::new());
    assert!(file.save(&services()).is_err());
    let file = StoreFile::new(folder.path(), "x", "x", String::new());
    fs::create_dir(file.path()).unwrap();
    assert_eq!(file.load(), Services::new());
    assert!(file.save(&services()).is_ok() || file.path().is_dir());
}

#[test]
fn what_was_never_finished_is_removed_once_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    for (name, age) in [("old", 3600), ("new", 0)] {
        let file = File::create(folder.path().join(format!("{UNFINISHED}{name}"))).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    fs::write(folder.path().join("mine.txt"), "").unwrap();
    file(&folder).load();
    assert_eq!(names(&folder), [format!("{UNFINISHED}new"), "mine.txt".to_owned()]);
}
