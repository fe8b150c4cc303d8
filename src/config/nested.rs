//! Sections within sections: one, or several under the same name.

use super::error::Place;
use super::reader::Section;
use super::settings;

impl Section<'_> {
    /// Reads the table under a key; an empty one when there is none.
    pub(super) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        self.known.push(key);
        let path = self.path_of(key);
        let (place, entries) = self.find(key).map_or((Place::Missing, None), |(at, entry)| {
            let entries = entry.node.as_table();
            if entry.node.as_list().is_some() {
                self.reader.wrong(
                    at.place,
                    path.clone(),
                    format!("there is one such section; write [{path}]"),
                );
            } else if entries.is_none() {
                let message =
                    format!("{} is no section; write [{path}] and its keys below it", entry.node.kind());
                self.reader.wrong(entry.place, path.clone(), message);
            }
            (at.place, entries)
        });
        let entries = entries.unwrap_or_default();
        let header = format!("[{path}]");
        let trail = self.trail_of(key);
        // As many as there are of what it is within.
        let number = self.number;
        Section { reader: self.reader, header, path, trail, number, place, entries, known: Vec::new() }
            .finish(read)
    }

    /// Reads the table under a key, if there is one.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> Option<T> {
        self.known.push(key);
        self.has(key).then(|| self.section(key, read))
    }

    /// Reads every table under a key that may be there several times.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Vec<T> {
        self.known.push(key);
        let path = self.path_of(key);
        let Some((at, entry)) = self.find(key) else { return Vec::new() };
        let items = if entry.node.as_table().is_some() {
            let cure = match at.place {
                Place::Given(origin) => settings::numbered(origin, key),
                Place::File { .. } | Place::Missing => None,
            };
            let cure = cure.unwrap_or_else(|| format!("[[{path}]] with two brackets"));
            self.reader.wrong(at.place, path.clone(), format!("there can be several; write {cure}"));
            std::slice::from_ref(entry)
        } else {
            // Anything else is found to be no section below.
            entry.node.as_list().unwrap_or(std::slice::from_ref(entry))
        };
        let mut values = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let Some(entries) = item.node.as_table() else {
                let message =
                    format!("{} is no section; write [[{path}]] and its keys below it", item.node.kind());
                self.reader.wrong(item.place, path.clone(), message);
                continue;
            };
            let (header, path) = (format!("[[{path}]]"), path.clone());
            let (trail, known) = (format!("{}.{}", self.trail_of(key), number + 1), Vec::new());
            let section = Section {
                reader: self.reader,
                header,
                path,
                trail,
                number,
                place: item.place,
                entries,
                known,
            };
            values.push(section.finish(&mut read));
        }
        values
    }

    fn trail_of(&self, key: &str) -> String {
        if self.trail.is_empty() { key.to_owned() } else { format!("{}.{key}", self.trail) }
    }
}
