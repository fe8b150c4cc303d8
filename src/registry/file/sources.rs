//! The files that providers are read from, each with the last content that was good.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::content::{self, Content, Syntax};
use crate::provider::ServiceName;
use crate::registry::format::Reason;
use crate::registry::{Skipped, View, written};

/// The largest file that is read, in bytes: ten thousand providers take about one megabyte.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The files that providers are read from.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: BTreeMap<PathBuf, Source>,
    /// Why there is no file at all at present.
    missing: Option<String>,
}

/// One file.
#[derive(Debug, Default)]
struct Source {
    /// The text of the last good content, while it is what was read last.
    text: Option<String>,
    /// The last content that was good; none when there never was any.
    good: Option<Content>,
    /// Why what was read last is not good.
    broken: Option<Skipped>,
}

impl Sources {
    /// Reads all files at a path: the file itself, or those in the folder. What was good and is gone or broken now counts
    /// only if `believe` says so; otherwise the answer is true, and whoever asks should read again a little later: files are
    /// removed before others are put in their place, and emptied before they are written.
    pub(super) async fn read(&mut self, path: &Path, believe: bool) -> bool {
        let mut doubtful = false;
        let mut gone = self.files.keys().cloned().collect::<BTreeSet<_>>();
        let missing = match list(path).await {
            Ok(found) => {
                let mut read = 0;
                for file in &found {
                    let text = match read_text(file).await {
                        Ok(text) => Ok(text),
                        Err(Unread::Broken(broken)) => Err(broken),
                        // It went after it was found.
                        Err(Unread::Gone) => continue,
                    };
                    read += 1;
                    gone.remove(file);
                    doubtful |= self.files.entry(file.clone()).or_default().take(file, text, believe);
                }
                (read == 0).then(|| does_not_exist(found.first().map_or(path, PathBuf::as_path)))
            }
            Err(missing) => Some(missing),
        };
        let is_news = self.missing.is_none() && !self.files.is_empty();
        if missing.is_some() && is_news && !believe {
            return true;
        }
        if missing.is_none() && !gone.is_empty() {
            doubtful = true;
            if believe {
                self.files.retain(|known, _| !gone.contains(known));
            }
        }
        self.missing = missing;
        doubtful
    }

    /// Why nothing can be read at present; what was good is then no longer fresh.
    pub(super) fn down(&self) -> Option<String> {
        if let Some(missing) = &self.missing {
            return Some(missing.clone());
        }
        let usable = self.files.values().any(|source| source.broken.is_none());
        let first = self.files.values().find_map(|source| source.broken.as_ref());
        first.filter(|_| !usable).map(|broken| format!("{}: {}", broken.record, broken.detail))
    }

    /// What all files together say of a service; `None` when it is in none of them, but one was never good.
    pub(super) fn view(&self, service: &ServiceName) -> Option<View> {
        let (mut providers, mut skipped) = (Vec::new(), Vec::new());
        let mut is_named = false;
        for source in self.files.values() {
            let Some(listed) = source.good.as_ref().and_then(|content| content.services.get(service)) else {
                continue;
            };
            is_named = true;
            providers.extend(listed.providers.iter().cloned());
            skipped.extend(listed.skipped.iter().cloned());
            skipped.extend(source.broken.as_ref().map(|broken| Skipped {
                detail: format!("{}; the last good content of the file stays in use", broken.detail),
                ..broken.clone()
            }));
        }
        let complete = self.files.values().all(|source| source.good.is_some());
        match (is_named, complete) {
            (true, _) => Some(View::Present { providers, skipped }),
            (false, true) if !self.files.is_empty() => Some(View::Absent),
            (false, _) => None,
        }
    }

    /// The number of files, and of the services they name.
    pub(super) fn size(&self) -> (usize, usize) {
        let services = self.files.values().filter_map(|source| source.good.as_ref());
        let services: BTreeSet<&ServiceName> = services.flat_map(|content| content.services.keys()).collect();
        (self.files.len(), services.len())
    }
}

impl Source {
    /// Takes over what was read, unless it is what was read before. True when it is not good, what was there before is,
    /// and that is not to be believed yet.
    fn take(&mut self, path: &Path, text: Result<String, Skipped>, believe: bool) -> bool {
        if self.text.is_some() && self.text.as_ref() == text.as_ref().ok() {
            return false;
        }
        let syntax = syntax(path).unwrap_or(Syntax::Toml);
        let read =
            text.and_then(|text| content::read(&name_of(path), syntax, &text).map(|read| (text, read)));
        if read.is_err() && !believe && self.good.is_some() && self.broken.is_none() {
            return true;
        }
        self.text = None;
        match read {
            Ok((text, content)) => {
                let before = self.good.as_ref().map(|good| good.remarks.as_slice()).unwrap_or_default();
                for remark in content.remarks.iter().filter(|remark| !before.contains(remark)).take(8) {
                    tracing::warn!(file = %path.display(), "{remark}");
                }
                self.text = Some(text);
                self.good = Some(content);
                self.note(None);
            }
            Err(broken) => self.note(Some(broken)),
        }
        false
    }

    fn note(&mut self, broken: Option<Skipped>) {
        // A file that was good once has services to bear the cause; of one that never was, only the log can tell.
        let news = broken.as_ref().filter(|news| self.good.is_none() && self.broken.as_ref() != Some(*news));
        if let Some(news) = news {
            tracing::warn!("{}: {}", news.record, news.detail);
        }
        self.broken = broken;
    }
}

/// The files at a path.
async fn list(path: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        if error.kind() == ErrorKind::NotFound {
            does_not_exist(path)
        } else {
            format!("{shown} cannot be read: {error}")
        }
    };
    if !tokio::fs::metadata(path).await.map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = tokio::fs::read_dir(path).await.map_err(unreadable)?;
    let mut files = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(unreadable)? {
        let file = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        // Follows symbolic links, which mounted configuration consists of.
        if !hidden && syntax(&file).is_some() && tokio::fs::metadata(&file).await.is_ok_and(|at| at.is_file())
        {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(format!("there is no .toml or .json file in {shown}; waiting for one"));
    }
    files.sort();
    Ok(files)
}

fn does_not_exist(path: &Path) -> String {
    format!("{} does not exist; waiting for it", path.display())
}

/// Why a file has no text.
enum Unread {
    Gone,
    Broken(Skipped),
}

async fn read_text(path: &Path) -> Result<String, Unread> {
    let broken =
        |detail: String| Unread::Broken(Skipped { record: name_of(path), reason: Reason::Malformed, detail });
    let unread = |error: std::io::Error| {
        if error.kind() == ErrorKind::NotFound { Unread::Gone } else { broken(error.to_string()) }
    };
    let size = tokio::fs::metadata(path).await.map_err(unread)?.len();
    if size > FILE_BYTES_MAX {
        return Err(broken(format!("the file has {size} bytes, more than {FILE_BYTES_MAX}")));
    }
    let bytes = tokio::fs::read(path).await.map_err(unread)?;
    String::from_utf8(bytes).map_err(|_| broken("the file is not UTF-8".to_owned()))
}

/// How a file is written, by its name.
pub(super) fn syntax(path: &Path) -> Option<Syntax> {
    match path.extension()?.to_str()? {
        "toml" => Some(Syntax::Toml),
        "json" => Some(Syntax::Json),
        _ => None,
    }
}

fn name_of(path: &Path) -> String {
    written::plain(path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned())
}
