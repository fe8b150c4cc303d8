//! A Go Micro record as JSON, read the way Go's own decoder reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::registry::format::json::{self, PARTS_MAX};

/// What is used of a service's record.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) version: String,
    /// The handlers of its endpoints, `Say` of `Say.Hello`, each once, in order.
    pub(super) handlers: BTreeSet<Box<str>>,
    pub(super) nodes: Vec<Node>,
}

/// What is used of an endpoint.
#[derive(Debug, Deserialize)]
struct Endpoint {
    #[serde(default, alias = "Name")]
    name: String,
}

impl Endpoint {
    /// The handler of an endpoint such as `Say.Hello`; web services have patterns of URLs in their place.
    fn handler(&self) -> Option<Box<str>> {
        let (handler, method) = self.name.split_once('.')?;
        let is_word = |text: &str| {
            !text.is_empty()
                && text.len() <= 100
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        (is_word(handler) && is_word(method)).then(|| handler.into())
    }
}

/// A node as any generation of Go Micro writes it.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) id: String,
    /// `host:port`, or a host alone beside a port.
    pub(super) address: String,
    /// 0 when there is none.
    pub(super) port: i64,
    pub(super) metadata: BTreeMap<String, String>,
}

/// A JSON object whose keys are known in any case, the last of several counting, and others skipped.
trait Object: Default {
    /// What it is called in errors.
    const WHAT: &'static str;

    /// Reads the value of a key (lower case) if it is known, and says whether it was.
    fn read<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<bool, M::Error>;
}

impl Object for Record {
    const WHAT: &'static str = "a JSON object with the nodes of a service";

    fn read<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<bool, M::Error> {
        match key {
            "version" => self.version = or_null(map)?,
            // Not worth a provider: what cannot be read says nothing.
            "endpoints" => {
                let written: Box<RawValue> = map.next_value()?;
                let endpoints: Vec<Option<Endpoint>> =
                    serde_json::from_str(written.get()).unwrap_or_default();
                self.handlers =
                    endpoints.iter().flatten().filter_map(Endpoint::handler).take(PARTS_MAX).collect();
            }
            "nodes" => {
                let nodes: Vec<Option<Node>> = or_null(map)?;
                self.nodes = nodes.into_iter().flatten().collect();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Object for Node {
    const WHAT: &'static str = "a JSON object with the id and address of a node";

    fn read<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<bool, M::Error> {
        match key {
            "id" => self.id = or_null(map)?,
            "address" => self.address = or_null(map)?,
            "port" => self.port = or_null(map)?,
            "metadata" => {
                let metadata: BTreeMap<String, Text> = or_null(map)?;
                let pairs = metadata.into_iter().filter_map(|(key, Text(text))| Some((key, text?)));
                self.metadata = json::bounded_pairs(pairs);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The value at hand, or its default where it is `null`, as Go leaves it.
fn or_null<'de, T: Deserialize<'de> + Default, M: MapAccess<'de>>(map: &mut M) -> Result<T, M::Error> {
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Object> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<T, M::Error> {
        let mut object = T::default();
        while let Some(mut key) = map.next_key::<String>()? {
            key.make_ascii_lowercase();
            if !object.read(&key, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(object)
    }
}

/// A metadata value: text, or a number or truth value that a program other than Go wrote; anything else is left out.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a metadata value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Some(text))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
