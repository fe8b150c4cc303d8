//! Finding a service: under its own name, or else under one that differs only in case, since HTTP clients write host names
//! in lower case.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::GetOptions;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::list::{Listed, list, range_end};
use super::session::{Fault, Session};
use crate::provider::ServiceName;
use crate::registry::format::Folder;

/// How long the names of all services are good for one more search of a misspelt one.
const NAMES_KEPT: Duration = Duration::from_secs(5);
/// Keys asked for at once; a hundred bytes each, usually.
const NAMES_PAGE: i64 = 2_000;
/// The most keys looked through: where there are more, a service is found under its own name only.
const NAMES_MAX: usize = 50_000;

/// The names of all services, as what their keys begin with, and when they were read.
pub(super) type Names = Mutex<Option<(Instant, Arc<BTreeSet<String>>)>>;

/// A service, listed where it lies.
#[derive(Debug)]
pub(super) struct Found {
    /// What the keys of each of its folders begin with.
    pub(super) folders: Vec<(Folder, String)>,
    pub(super) listed: Listed,
}

/// Lists a service.
pub(super) async fn find(session: &Session<'_>, service: &ServiceName) -> Result<Found, Fault> {
    let folders = session.settings.folders(service);
    let listed = list(session, &folders).await?;
    if listed.records.iter().any(|(folder, _)| *folder == Folder::Providers) {
        return Ok(Found { folders, listed });
    }
    let names = names(session).await?;
    let alike: Vec<(Folder, String)> =
        folders.iter().map(|(folder, prefix)| (*folder, alike(&names, prefix))).collect();
    if alike == folders {
        return Ok(Found { folders, listed });
    }
    let listed = list(session, &alike).await?;
    Ok(Found { folders: alike, listed })
}

/// The name that differs from this one only in case, if there is one, or else this one.
fn alike(names: &BTreeSet<String>, prefix: &str) -> String {
    let alike = names.iter().find(|name| name.eq_ignore_ascii_case(prefix));
    alike.map_or_else(|| prefix.to_owned(), String::clone)
}

async fn names(session: &Session<'_>) -> Result<Arc<BTreeSet<String>>, Fault> {
    // Whoever comes meanwhile waits, and takes what was read.
    let mut names = session.names.lock().await;
    if let Some((_, known)) = names.as_ref().filter(|(at, _)| at.elapsed() < NAMES_KEPT) {
        return Ok(Arc::clone(known));
    }
    let read = match read_names(session).await {
        // Whoever may read some services only is told no other names.
        Err(Fault::Denied) => Arc::default(),
        read => Arc::new(read?),
    };
    *names = Some((Instant::now(), Arc::clone(&read)));
    Ok(read)
}

async fn read_names(session: &Session<'_>) -> Result<BTreeSet<String>, Fault> {
    let base = session.settings.base.as_str();
    // All keys there are, where there is no prefix.
    let (mut from, end) = match base {
        "" => (b"\0".to_vec(), b"\0".to_vec()),
        base => (base.as_bytes().to_vec(), range_end(base)),
    };
    let mut kv = session.kv();
    let (mut names, mut seen) = (BTreeSet::new(), 0);
    loop {
        let options = GetOptions::new()
            .with_range(end.clone())
            .with_limit(NAMES_PAGE)
            .with_keys_only()
            .with_serializable();
        let answer = session.call("list the keys below", base, kv.get(from, Some(options))).await?;
        for entry in answer.kvs() {
            let key = String::from_utf8_lossy(entry.key());
            if let Some(slash) = key.rfind('/')
                && !names.contains(&key[..=slash])
            {
                names.insert(key[..=slash].to_owned());
            }
        }
        seen += answer.kvs().len();
        let Some(last) = answer.kvs().last().filter(|_| answer.more()) else { return Ok(names) };
        if seen >= NAMES_MAX {
            tracing::debug!(seen, "too many keys to look for a service that is spelt alike");
            return Ok(BTreeSet::new());
        }
        from = [last.key(), b"\0"].concat();
    }
}
