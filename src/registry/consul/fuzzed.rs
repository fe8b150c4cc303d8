//! What fuzz targets reach of this room: instances as Consul tells them.

use super::entry::Entry;
use super::settings::Demands;
use crate::registry::format::Decoded;

/// What is made of an answer; `None` where it is no list of instances.
pub fn instances(answer: &[u8]) -> Option<Vec<Decoded>> {
    let entries: Vec<Entry> = serde_json::from_slice(answer).ok()?;
    let demands = Demands { tags: vec!["v1".to_owned()], passing: true };
    let each = |entry: &Entry| [entry.decode(&Demands::default()), entry.decode(&demands)];
    Some(entries.iter().flat_map(each).collect())
}
