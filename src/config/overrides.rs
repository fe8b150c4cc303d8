//! Overrides: what flags and the environment say, laid over the file.

use super::error::Mistake;
use super::file::{Entry, Node};
use super::settings::{self, Setting};

/// What flags and the environment say; it wins over the file. What is absent leaves the file as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The URLs of the registries, in place of all of the file; one takes only the place of the URL where there is one.
    pub registries: Vec<Given>,
    /// The credentials for registries, each with the place of its registry, from 0.
    pub registry_auth: Vec<(usize, Given)>,
    /// The folder that the system gives us for what is to outlive a restart; the file wins over it.
    pub state_directory: Option<Given>,
    /// The addresses to listen on, in place of all listeners of the file.
    pub listen: Vec<Given>,
    /// The address of admin, or `off`.
    pub admin: Option<Given>,
    /// The number of workers, or `auto`.
    pub workers: Option<Given>,
    /// The policy of services that nothing is declared of.
    pub policy: Option<Given>,
    /// Where this proxy runs.
    pub zone: Option<Given>,
    /// The service that every request goes to, on every listener.
    pub service: Option<Given>,
    /// The level of the log.
    pub log_level: Option<Given>,
    /// What is announced, in place of all that the file announces: the keys of one section, each by its path.
    pub announce: Vec<(Vec<String>, Given)>,
    /// What is given for single keys; those of variables in the order of their paths.
    pub settings: Vec<Setting>,
}

/// A text that a flag or a variable gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The flag or variable, for messages: `--workers`, `WAYSIDE_WORKERS`.
    pub origin: &'static str,
    /// What it gives.
    pub text: String,
}

impl Given {
    fn entry(&self) -> Entry {
        Entry::given(self.origin, Node::Text(self.text.clone()))
    }
}

impl Overrides {
    /// Whether they say which registry is followed.
    pub fn name_registries(&self) -> bool {
        let is_of_registry =
            |setting: &Setting| setting.path.first().is_some_and(|first| first == "registry");
        !self.registries.is_empty() || self.settings.iter().any(is_of_registry)
    }

    /// Lays these over a tree; gives what has no place there.
    pub(super) fn lay_over(&self, tree: &mut Entry) -> Vec<Mistake> {
        self.lay_named_over(tree);
        settings::lay_over(&self.settings, tree)
    }

    fn lay_named_over(&self, tree: &mut Entry) {
        let single = [
            (&self.workers, ["workers"].as_slice()),
            (&self.policy, &["services", "policy"]),
            (&self.zone, &["zone"]),
            (&self.log_level, &["log", "level"]),
        ];
        for (given, path) in single {
            if let Some(given) = given {
                tree.put(path, given.entry());
            }
        }
        self.lay_registries_over(tree);
        if let Some(folder) = &self.state_directory {
            // The first, where there are several.
            let text = folder.text.split(':').next().unwrap_or_default().to_owned();
            if tree.child("store").is_none_or(|store| store.child("folder").is_none()) {
                tree.put(&["store", "folder"], Entry::given(folder.origin, Node::Text(text)));
            }
        }
        if let Some((_, first)) = self.announce.first() {
            let mut section = Entry::given_table(first.origin, Vec::new());
            for (path, given) in &self.announce {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                section.put(&path, given.entry());
            }
            tree.put(&["announce"], Entry::given(first.origin, Node::List(vec![section])));
        }
        if let Some(admin) = &self.admin {
            let is_on = admin.text != "off";
            tree.put(&["admin", "enabled"], Entry::given(admin.origin, Node::Flag(is_on)));
            if is_on {
                tree.put(&["admin", "address"], admin.entry());
            }
        }
        if let Some(first) = self.listen.first() {
            let listeners = self
                .listen
                .iter()
                .map(|given| Entry::given_table(given.origin, vec![("address", given.entry())]));
            tree.put(&["listener"], Entry::given(first.origin, Node::List(listeners.collect())));
        }
        if let Some(service) = &self.service
            && let Some(Entry { node: Node::List(listeners), .. }) = tree.child("listener")
        {
            for listener in listeners {
                listener.put(&["service"], service.entry());
            }
        }
    }

    fn lay_registries_over(&self, tree: &mut Entry) {
        let Some(Entry { node: Node::List(written), .. }) = tree.child("registry") else { return };
        match (self.registries.as_slice(), written.as_mut_slice()) {
            ([], _) => {}
            ([url], [one]) => {
                one.put(&["url"], url.entry());
                if let Node::Table(entries) = &mut one.node {
                    // Another registry has other services.
                    entries.retain(|(key, _)| key.text != "services");
                }
            }
            (urls, _) => {
                let entry = |url: &Given| Entry::given_table(url.origin, vec![("url", url.entry())]);
                *written = urls.iter().map(entry).collect();
            }
        }
        for (number, auth) in &self.registry_auth {
            match written.get_mut(*number) {
                Some(registry) => registry.put(&["auth"], auth.entry()),
                // Found to be without a URL when it is read.
                None => written.push(Entry::given_table(auth.origin, vec![("auth", auth.entry())])),
            }
        }
    }
}
