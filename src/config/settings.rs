//! Single settings: any key, by its path, from a variable of the environment or the flag `--set`.

use super::error::{Mistake, Place};
use super::file::{Entry, Key, Node, parse_given};
use super::include::INCLUDE;
use super::overrides::Given;

/// What the names of variables begin with.
const PREFIX: &str = "WAYSIDE_";
/// What stands between the parts of a path in the name of a variable, since keys have single ones in them.
const BETWEEN: &str = "__";
/// What such a flag begins with.
const FLAG: &str = "--set ";
/// The keys at the top that no variable of another meaning is called like. Kubernetes makes variables of its services, such as
/// `WAYSIDE_PORT`, so that what is not known there cannot be a mistake.
const TOP: [&str; 4] = ["identity", "drain_timeout", "lame_duck", "succession"];

/// What is given for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The keys that lead there, and numbers from 1 where there may be several: `route`, `2`, `path`.
    pub path: Vec<String>,
    /// What is given. A text that is a list or a table in TOML counts as that.
    pub given: Given,
}

impl Setting {
    /// What a variable of the environment gives: `WAYSIDE_TIMEOUTS__CONNECT`, `WAYSIDE_ROUTE__2__PATH`; `None` where its name is not
    /// such.
    pub fn of_variable(name: &str, text: String) -> Option<Self> {
        let path: Vec<String> =
            name.strip_prefix(PREFIX)?.split(BETWEEN).map(str::to_ascii_lowercase).collect();
        let is_one = match path.as_slice() {
            [one] => TOP.contains(&one.as_str()),
            parts => parts.iter().all(|part| !part.is_empty()),
        };
        is_one.then(|| Self { path, given: Given { origin: kept(name.to_owned()), text } })
    }

    /// What `--set` is given: `timeouts.connect=2s`, `route.2.path=/api`; `None` where it is not such.
    pub fn of_flag(argument: &str) -> Option<Self> {
        let (path, text) = argument.split_once('=')?;
        let parts: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
        let is_path = parts.iter().all(|part| !part.is_empty());
        let given = || Given { origin: kept(format!("{FLAG}{}", path.trim())), text: text.trim().to_owned() };
        is_path.then(|| Self { path: parts, given: given() })
    }

    fn is_flag(&self) -> bool {
        self.given.origin.starts_with(FLAG)
    }

    /// Lays it over a tree.
    fn lay_over(&self, tree: &mut Entry) -> Result<(), Mistake> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let Given { origin, text } = &self.given;
        if path.first() == Some(&INCLUDE) {
            // All files are read before what is given is laid over them.
            let message = "which files are included only a file says; write include there";
            let (key, message) = (self.path.join("."), message.to_owned());
            return Err(Mistake { place: Place::Given(origin), key, message });
        }
        let is_nested = text.trim_start().starts_with(['[', '{']);
        let nested = is_nested.then(|| parse_given(origin, text)).flatten();
        let entry = nested.unwrap_or_else(|| Entry::given(origin, Node::Text(text.clone())));
        put(tree, &path, entry, self.is_flag()).map_err(|message| Mistake {
            place: Place::Given(origin),
            key: self.path.join("."),
            message,
        })
    }
}

/// The names of flags and variables stand in every place that refers to them, and there are as many as a process was started with.
fn kept(name: String) -> &'static str {
    Box::leak(name.into_boxed_str())
}

/// Lays settings over a tree: variables first, so that flags win.
pub(super) fn lay_over(settings: &[Setting], tree: &mut Entry) -> Vec<Mistake> {
    let (flags, variables): (Vec<&Setting>, Vec<&Setting>) =
        settings.iter().partition(|setting| setting.is_flag());
    variables.into_iter().chain(flags).filter_map(|setting| setting.lay_over(tree).err()).collect()
}

/// Puts something in its place; what is wrong where that is none.
fn put(tree: &mut Entry, path: &[&str], entry: Entry, is_flag: bool) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        if is_flag || !is_of_flag(tree) {
            *tree = entry;
        }
        return Ok(());
    };
    match &mut tree.node {
        Node::List(items) => {
            let Ok(number) = first.parse::<usize>() else {
                return Err(format!(
                    "there can be several, so that {first} is of none; write the number of one before it, from 1"
                ));
            };
            let count = items.len();
            if number == count + 1 {
                items.push(Entry { place: entry.place, ..Entry::empty() });
            }
            let place = number.checked_sub(1).and_then(|at| items.get_mut(at));
            let item = place.ok_or_else(|| {
                format!(
                    "there is no number {number}; write one from 1 to {}, the last of which is a new one",
                    count + 1
                )
            })?;
            put(item, rest, entry, is_flag)
        }
        Node::Table(entries) => {
            let at = entries.iter().position(|(key, _)| key.text == *first).unwrap_or_else(|| {
                let is_several = rest.first().is_some_and(|next| next.parse::<usize>().is_ok());
                let node = if is_several { Node::List(Vec::new()) } else { Node::Table(Vec::new()) };
                let key = Key { text: (*first).to_owned(), place: entry.place };
                entries.push((key, Entry { place: entry.place, node }));
                entries.len() - 1
            });
            let (key, below) = &mut entries[at];
            if rest.is_empty() && (is_flag || !is_of_flag(below)) {
                key.place = entry.place;
            }
            put(below, rest, entry, is_flag)
        }
        // In place of a secret the file that it stands in.
        Node::Text(_) | Node::Integer(_) | Node::Fraction(_) | Node::Flag(_) | Node::Date(_) => {
            if is_flag || !is_of_flag(tree) {
                tree.node = Node::Table(Vec::new());
                tree.place = entry.place;
                return put(tree, path, entry, is_flag);
            }
            Ok(())
        }
    }
}

fn is_of_flag(entry: &Entry) -> bool {
    matches!(entry.place, Place::Given(origin) if origin.starts_with("--"))
}

/// What a flag or variable is called with another key in place of this one.
pub(super) fn like(origin: &str, key: &str, other: &str) -> String {
    with(origin, key, &[other]).unwrap_or_else(|| other.to_owned())
}

/// What a flag or variable is called that is for the first of the sections of this key.
pub(super) fn numbered(origin: &str, key: &str) -> Option<String> {
    with(origin, key, &[key, "1"])
}

/// The name with these parts in place of a key, where it is one of a path.
fn with(origin: &str, key: &str, others: &[&str]) -> Option<String> {
    let (prefix, path, between) = match (origin.strip_prefix(FLAG), origin.strip_prefix(PREFIX)) {
        (Some(path), _) => (FLAG, path, "."),
        (None, Some(path)) if path.contains(BETWEEN) => (PREFIX, path, BETWEEN),
        (None, Some(_) | None) => return None,
    };
    let mut parts: Vec<String> = Vec::new();
    for part in path.split(between) {
        if part.eq_ignore_ascii_case(key) {
            parts.extend(others.iter().map(|other| (*other).to_owned()));
        } else {
            parts.push(part.to_owned());
        }
    }
    let name = parts.join(between);
    Some(format!("{prefix}{}", if prefix == PREFIX { name.to_ascii_uppercase() } else { name }))
}
