//! A batch of events about one folder, and what it asks for.

use std::collections::BTreeSet;

use zookeeper_client::{EventType, SessionState, WatchedEvent};

/// What a batch of events asks for.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The children to be read again.
    pub(super) children: BTreeSet<String>,
    /// The folder itself came or went.
    pub(super) folder: bool,
    /// The connection was lost.
    pub(super) lost: bool,
    /// The connection came back: the watch is gone, though nobody says so.
    pub(super) rearm: bool,
    /// The session ended with this state; the watcher must not be asked again.
    pub(super) ended: Option<SessionState>,
}

impl Batch {
    /// Marks what an event is about. What it says of it is not used: reading tells the truth.
    pub(super) fn add(&mut self, folder: &str, event: WatchedEvent) {
        if event.event_type == EventType::Session {
            match event.session_state {
                SessionState::Disconnected => (self.lost, self.rearm) = (true, false),
                SessionState::SyncConnected | SessionState::ConnectedReadOnly => self.rearm = true,
                state @ (SessionState::Expired | SessionState::AuthFailed | SessionState::Closed) => {
                    self.ended = Some(state);
                }
            }
            return;
        }
        let came_or_went = matches!(event.event_type, EventType::NodeCreated | EventType::NodeDeleted);
        if event.path == folder {
            self.folder |= came_or_went;
            return;
        }
        // Other services are heard through a watch on the root.
        let Some(below) = event.path.strip_prefix(folder).and_then(|below| below.strip_prefix('/')) else {
            return;
        };
        let child = match below.split_once('/') {
            None => below,
            // The first grandchild makes a folder of a record; further down nothing matters.
            Some((child, rest)) if came_or_went && !rest.contains('/') => child,
            Some(_) => return,
        };
        self.children.insert(child.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(events: impl IntoIterator<Item = WatchedEvent>) -> Batch {
        let mut batch = Batch::default();
        for event in events {
            batch.add("/services/greeter", event);
        }
        batch
    }

    fn node(event: EventType, path: &str) -> Batch {
        batch([WatchedEvent::new(event, path)])
    }

    #[test]
    fn an_event_marks_the_child_it_is_about() {
        use EventType::{NodeCreated, NodeDataChanged, NodeDeleted};
        for (event, path, child) in [
            (NodeCreated, "/services/greeter/a", Some("a")),
            (NodeDataChanged, "/services/greeter/a", Some("a")),
            (NodeDeleted, "/services/greeter/a", Some("a")),
            (NodeCreated, "/services/greeter/a/x", Some("a")),
            (NodeDataChanged, "/services/greeter/a/x", None),
            (NodeDeleted, "/services/greeter/a/x/y", None),
            (NodeCreated, "/services/greeter2/a", None),
            (NodeCreated, "/services/gree", None),
            (NodeCreated, "/services", None),
        ] {
            let batch = node(event, path);
            assert_eq!(batch.children.first().map(String::as_str), child, "{event} {path}");
            assert!(!batch.folder);
        }
    }

    #[test]
    fn the_folder_itself_comes_and_goes() {
        assert!(node(EventType::NodeCreated, "/services/greeter").folder);
        assert!(node(EventType::NodeDeleted, "/services/greeter").folder);
        assert!(!node(EventType::NodeDataChanged, "/services/greeter").folder);
    }

    #[test]
    fn only_the_last_state_of_the_connection_asks_for_a_watch() {
        use SessionState::{Disconnected, Expired, SyncConnected};
        let states =
            |states: &[SessionState]| batch(states.iter().map(|state| WatchedEvent::new_session(*state)));
        let back = states(&[Disconnected, SyncConnected]);
        assert!(back.lost && back.rearm);
        let gone_again = states(&[Disconnected, SyncConnected, Disconnected]);
        assert!(gone_again.lost && !gone_again.rearm);
        assert_eq!(states(&[Disconnected, Expired]).ended, Some(Expired));
    }
}
