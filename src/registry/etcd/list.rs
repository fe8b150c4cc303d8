//! Listing all records of a service, a page at a time and all at one revision.

use std::sync::atomic::Ordering;

use etcd_client::{GetOptions, GetResponse, KeyValue};

use super::known::Record;
use super::session::{Fault, Session};
use crate::registry::format::Folder;

/// Records asked for at first: as large as etcd lets them be by default, they would be 150 MiB, and usually are 0.1.
pub(super) const FIRST_PAGE: i64 = 100;
/// The most records asked for at once.
const PAGE_MAX: i64 = 5_000;
/// What an answer should have, in bytes: etcd's clients take 4 MiB by default.
const PAGE_BYTES: usize = 1024 * 1024;
/// What is asked for after an answer that was too large: so many times less.
const PAGE_LESS: i64 = 8;
/// How often a listing begins anew when its revision is compacted away under it.
const BEGINNINGS_MAX: usize = 3;

/// All records of a service, as they were at one revision.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) revision: i64,
    pub(super) records: Vec<(Folder, Record)>,
}

/// Lists all records of some folders.
pub(super) async fn list(session: &Session<'_>, folders: &[(Folder, String)]) -> Result<Listed, Fault> {
    let _permit = session.listings.acquire().await;
    let mut beginnings = 0;
    loop {
        beginnings += 1;
        match at_one_revision(session, folders).await {
            Err(Fault::Compacted) if beginnings < BEGINNINGS_MAX => {}
            result => return result,
        }
    }
}

async fn at_one_revision(session: &Session<'_>, folders: &[(Folder, String)]) -> Result<Listed, Fault> {
    let mut listed = Listed { revision: 0, records: Vec::new() };
    for (folder, prefix) in folders {
        let end = range_end(prefix);
        let mut from = prefix.clone().into_bytes();
        let mut limit = session.page.load(Ordering::Relaxed);
        loop {
            let mut answer = match page(session, prefix, &from, &end, limit, listed.revision).await {
                Err(Fault::TooLarge) if limit > 1 => {
                    limit = (limit / PAGE_LESS).max(1);
                    session.page.fetch_min(limit, Ordering::Relaxed);
                    continue;
                }
                answer => answer?,
            };
            if listed.revision == 0 {
                listed.revision =
                    answer.header().map(etcd_client::ResponseHeader::revision).unwrap_or_default();
            }
            let more = answer.more();
            let entries = answer.take_kvs();
            limit = next_limit(&entries).unwrap_or(limit);
            if let Some(last) = entries.last() {
                from = [last.key(), b"\0"].concat();
            }
            let empty = entries.is_empty();
            listed.records.extend(entries.into_iter().map(|entry| (*folder, record(entry))));
            if !more || empty {
                break;
            }
        }
    }
    Ok(listed)
}

async fn page(
    session: &Session<'_>,
    prefix: &str,
    from: &[u8],
    end: &[u8],
    limit: i64,
    revision: i64,
) -> Result<GetResponse, Fault> {
    let options = GetOptions::new().with_range(end).with_limit(limit).with_revision(revision);
    let mut kv = session.kv();
    session.call("list", prefix, kv.get(from, Some(options))).await
}

fn record(entry: KeyValue) -> Record {
    let (lease, revision) = (entry.lease(), entry.mod_revision());
    let (key, value) = entry.into_key_value();
    Record { key, value, lease, revision }
}

/// How many records the next page should have, from what these needed.
fn next_limit(entries: &[KeyValue]) -> Option<i64> {
    let bytes: usize = entries.iter().map(|entry| entry.key().len() + entry.value().len()).sum();
    let each = bytes.checked_div(entries.len())?.max(1);
    Some(i64::try_from(PAGE_BYTES / each).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX))
}

/// The first key behind all that begin with a prefix, which ends with a slash.
pub(super) fn range_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        // A slash is followed by a zero.
        *last += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_what_only_begins_like_it() {
        assert_eq!(range_end("/micro/registry/foo/"), b"/micro/registry/foo0");
        let within = |key: &str| (b"foo/".as_slice()..&range_end("foo/")).contains(&key.as_bytes());
        assert!(within("foo/a") && within("foo/\u{ff}") && within("foo/"));
        assert!(!within("foobar/a") && !within("foo") && !within("fop"));
    }
}
