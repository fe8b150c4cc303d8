//! The tags of a Consul service: what Go Micro packs into them, and labels that people write.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::Value;

/// The most bytes that the packed tags of one service may have, all together, once unpacked. A version and metadata take
/// some hundred; more is left unread, so that a small tag cannot fill the memory.
const UNPACKED_BYTES_MAX: u64 = 256 * 1024;

/// What the tags of a service say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    /// Whether Go Micro wrote some of them.
    pub(super) is_go_micro: bool,
    /// The version that Go Micro wrote.
    pub(super) version: Option<String>,
    /// Metadata: Go Micro's pairs, and labels that people wrote as `key=value`.
    pub(super) metadata: BTreeMap<String, String>,
    /// Labels without a value.
    pub(super) labels: Vec<String>,
}

/// One tag.
enum Tag {
    /// `v-`, `v=`.
    Version(String),
    /// `t-`, `t=`.
    Metadata(BTreeMap<String, String>),
    /// `e-`, `e=`: an endpoint of the service. Nothing here depends on it.
    Endpoint,
    /// Begins like one of Go Micro's, packed, and cannot be unpacked.
    Broken,
    /// What somebody else wrote.
    Label,
}

/// Reads the tags of a service, Go Micro's and others, in any mixture.
///
/// A tag is Go Micro's when it is: `t-`, `e-` or `v-` before the hexadecimal digits of a zlib stream, or `t=`, `e=` before a
/// JSON object, or `v=` before anything. So `e-commerce` is a label.
pub(super) fn read(tags: &[String]) -> Tags {
    let mut read = Tags::default();
    let mut room = UNPACKED_BYTES_MAX;
    for tag in tags {
        let known = tell(tag, &mut room);
        read.is_go_micro |= !matches!(known, Tag::Label);
        match known {
            Tag::Version(version) => read.version = Some(version),
            Tag::Metadata(pairs) => read.metadata.extend(pairs),
            Tag::Endpoint | Tag::Broken => {}
            Tag::Label => match tag.split_once('=') {
                Some((key, value)) if !key.is_empty() => {
                    read.metadata.insert(key.to_owned(), value.to_owned());
                }
                Some(_) | None => read.labels.push(tag.clone()),
            },
        }
    }
    read
}

fn tell(tag: &str, room: &mut u64) -> Tag {
    let Some((kind, rest)) = tag.split_at_checked(2) else { return Tag::Label };
    match kind {
        "v=" => Tag::Version(rest.to_owned()),
        "t=" => pairs(rest.as_bytes()).map_or(Tag::Label, Tag::Metadata),
        "e=" => object(rest.as_bytes()).map_or(Tag::Label, |_| Tag::Endpoint),
        "e-" if packed(rest).is_some() => Tag::Endpoint,
        "v-" | "t-" => match packed(rest).map(|packed| unpack(&packed, room)) {
            None => Tag::Label,
            Some(None) => Tag::Broken,
            Some(Some(bytes)) if kind == "v-" => String::from_utf8(bytes).map_or(Tag::Broken, Tag::Version),
            Some(Some(bytes)) => pairs(&bytes).map_or(Tag::Broken, Tag::Metadata),
        },
        _ => Tag::Label,
    }
}

/// The bytes of hexadecimal digits that begin as a zlib stream does (RFC 1950): deflate, and a sound check of the head.
fn packed(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let byte = |pair: &[u8]| Some(nibble(pair[0])? << 4 | nibble(pair[1])?);
    let bytes: Vec<u8> = digits.as_bytes().chunks_exact(2).map(byte).collect::<Option<_>>()?;
    let head = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    (bytes[0] & 0x0f == 8 && head % 31 == 0).then_some(bytes)
}

/// Unpacks a zlib stream while there is room; `None` when it is broken or larger than that.
fn unpack(packed: &[u8], room: &mut u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = ZlibDecoder::new(packed).take(*room + 1).read_to_end(&mut bytes);
    let left = room.checked_sub(bytes.len() as u64);
    *room = left.unwrap_or_default();
    read.ok().and(left).map(|_| bytes)
}

fn object(json: &[u8]) -> Option<serde_json::Map<String, Value>> {
    serde_json::from_slice(json).ok()
}

/// The pairs of a JSON object; those that are no text, number or truth value are left out.
fn pairs(json: &[u8]) -> Option<BTreeMap<String, String>> {
    let pair = |(key, value)| match value {
        Value::String(text) => Some((key, text)),
        Value::Number(_) | Value::Bool(_) => Some((key, value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    Some(object(json)?.into_iter().filter_map(pair).collect())
}

/// The tags by which Go Micro says this: one for each pair, one for each endpoint, and one for the version.
pub(super) fn write(metadata: &BTreeMap<String, String>, endpoints: &[Value], version: &str) -> Vec<String> {
    let pair = |(key, value): (&String, &String)| {
        let object = BTreeMap::from([(key, value)]);
        format!("t-{}", pack(&serde_json::to_vec(&object).unwrap_or_default()))
    };
    let endpoint = |endpoint: &Value| format!("e-{}", pack(endpoint.to_string().as_bytes()));
    let mut tags: Vec<String> = metadata.iter().map(pair).collect();
    tags.extend(endpoints.iter().map(endpoint));
    tags.push(format!("v-{}", pack(version.as_bytes())));
    tags
}

/// The hexadecimal digits of a zlib stream of these bytes.
fn pack(bytes: &[u8]) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail").iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_all(tags: &[&str]) -> Tags {
        read(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>())
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_go_micro_packed_is_read() {
        let tags = read_all(&[
            "t-789caa562a294acc2b2ec82f2a51b252ca28292950aa05040000ffff4f930768",
            "t-789caa562a28ca2fc94fcecf51b252ca2d4d2e50aa05040000ffff46a906e2",
            "v-789cca492c492d2e01040000ffff08cc028e",
        ]);
        assert!(tags.is_go_micro);
        assert_eq!(tags.version.as_deref(), Some("latest"));
        assert_eq!(tags.metadata, map(&[("transport", "http"), ("protocol", "mucp")]));
        for (tag, version) in
            [("v-789c32d433d03300040000ffff02ce00ee", "1.0.0"), ("v-789c010000ffff00000001", "")]
        {
            assert_eq!(read_all(&[tag]).version.as_deref(), Some(version));
        }
    }

    #[test]
    fn what_go_micro_wrote_plainly_is_read() {
        let tags =
            read_all(&["v=1.2", "t={\"server\":\"rpc\",\"n\":7,\"x\":null}", "e={\"name\":\"Say.Hello\"}"]);
        assert_eq!((tags.is_go_micro, tags.version.as_deref()), (true, Some("1.2")));
        assert_eq!(tags.metadata, map(&[("server", "rpc"), ("n", "7")]));
        assert_eq!(tags.labels, [""; 0]);
    }

    #[test]
    fn what_people_wrote_is_theirs() {
        let tags = read_all(&["e-commerce", "v-12", "t-", "canary", "stage=blue", "=odd", "t=x", "é-1", ""]);
        assert_eq!((tags.is_go_micro, &tags.version), (false, &None));
        assert_eq!(tags.labels, ["e-commerce", "v-12", "t-", "canary", "=odd", "é-1", ""]);
        assert_eq!(tags.metadata, map(&[("stage", "blue"), ("t", "x")]));
    }

    #[test]
    fn what_cannot_be_unpacked_or_is_too_large_is_left_out() {
        let bomb = format!("v-{}", pack(&vec![b'x'; 64 * 1024 * 1024]));
        assert!(bomb.len() < 200_000);
        let tags = read_all(&[&bomb, "t-789c00", "v-789cca"]);
        assert_eq!(tags, Tags { is_go_micro: true, ..Tags::default() });
        let half = format!("v-{}", pack(&vec![b'x'; 200 * 1024]));
        let mut room = UNPACKED_BYTES_MAX;
        assert!(matches!(tell(&half, &mut room), Tag::Version(_)));
        assert!(matches!(tell(&half, &mut room), Tag::Broken), "the room is for all tags together");
    }

    #[test]
    fn what_is_written_reads_as_what_was_meant() {
        let metadata = map(&[("protocol", "mucp"), ("zone", "a \"b\" ü")]);
        let tags = write(&metadata, &[json!({"name": "Say.Hello"})], "latest");
        assert_eq!(tags.len(), 4);
        let read = read(&tags);
        assert_eq!((read.is_go_micro, read.version.as_deref()), (true, Some("latest")));
        assert_eq!((read.metadata, read.labels.len()), (metadata, 0));
    }

    proptest! {
        #[test]
        fn any_tags_are_read(tags in prop::collection::vec("([tev][-=])?(789c)?[0-9a-f=\\PC]{0,40}", 0..8)) {
            read(&tags);
        }

        #[test]
        fn any_bytes_packed_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..400) {
            for kind in ["t-", "v-", "e-"] {
                let mut tag = format!("{kind}{}", pack(&bytes));
                tag.truncate(cut.max(2));
                read(&[tag]);
            }
        }

        #[test]
        fn any_metadata_survives(metadata in prop::collection::btree_map("\\PC{1,20}", "\\PC{0,40}", 0..8), version in "\\PC{0,20}") {
            let read = read(&write(&metadata, &[], &version));
            prop_assert_eq!((read.metadata, read.version), (metadata, Some(version)));
        }
    }
}
