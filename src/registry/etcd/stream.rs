//! One stream of watches: many watches over one call, each known by a ticket of ours.

use std::collections::{HashMap, VecDeque};
use std::future::Future;

use etcd_client::{
    Error, Event as Told, EventType, WatchOptions, WatchRequestSender, WatchResponse, WatchResponseStream,
};
use tokio::time::Instant;

use super::known::{Event, Record};
use super::list::range_end;
use super::session::{Fault, Session};
use crate::registry::RegistryError;

/// One watch; never used twice.
pub(super) type Ticket = u64;

/// One stream of watches. etcd numbers them as it makes them, in the order in which they were asked for.
pub(super) struct Stream<'a> {
    session: &'a Session<'a>,
    sender: WatchRequestSender,
    receiver: WatchResponseStream,
    /// When it was opened, with the token of then.
    pub(super) opened: Instant,
    /// Watches asked for and not yet made, in order; `None` for those that are no longer wanted.
    asked: VecDeque<Option<Ticket>>,
    /// Whether the first watch was made.
    has_first: bool,
    /// Watches made, by etcd's number.
    made: HashMap<i64, Ticket>,
    /// Watches made though nobody wants them any more, by etcd's number; to be given up.
    unwanted: Vec<i64>,
    tickets: Ticket,
}

/// What came on the stream about one watch.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) ticket: Ticket,
    pub(super) says: Says,
}

/// What it says.
#[derive(Debug)]
pub(super) enum Says {
    /// These happened, in this order.
    Events(Vec<Event>),
    /// Nothing happened up to this revision but what was told.
    Reached(i64),
    /// What was asked for is no longer kept: the watch is over.
    Compacted,
    /// The watch was not made.
    Refused(String),
    /// The watch is over for another cause.
    Over(String),
}

impl<'a> Stream<'a> {
    /// Opens a stream. Its first watch is of a key that nobody writes: it is there to learn of the stream's end.
    pub(super) async fn open(session: &'a Session<'a>) -> Result<Self, RegistryError> {
        let key = session.settings.base.as_str();
        let key = if key.is_empty() { "/" } else { key };
        let mut watches = session.watches();
        let stream = session.call("watch", key, watches.watch(key, None)).await;
        let stream = stream.map_err(|fault| session.failure(fault, "did not let this proxy watch"))?;
        let (sender, receiver) = stream.split();
        Ok(Self {
            session,
            sender,
            receiver,
            opened: Instant::now(),
            asked: VecDeque::from([None]),
            has_first: false,
            made: HashMap::new(),
            unwanted: Vec::new(),
            tickets: 0,
        })
    }

    /// Asks for a watch of all that begins with a prefix, from a revision on.
    pub(super) async fn ask(&mut self, prefix: &str, revision: i64) -> Result<Ticket, RegistryError> {
        let options = WatchOptions::new()
            .with_range(range_end(prefix))
            .with_start_revision(revision)
            .with_progress_notify()
            .with_fragment();
        send(self.session, self.sender.watch(prefix, Some(options))).await?;
        self.tickets += 1;
        self.asked.push_back(Some(self.tickets));
        Ok(self.tickets)
    }

    /// Gives a watch up.
    pub(super) async fn cancel(&mut self, ticket: Ticket) -> Result<(), RegistryError> {
        if let Some(asked) = self.asked.iter_mut().find(|asked| **asked == Some(ticket)) {
            *asked = None;
            return Ok(());
        }
        let number = self.made.iter().find(|(_, made)| **made == ticket).map(|(number, _)| *number);
        match number {
            Some(number) => {
                self.made.remove(&number);
                send(self.session, self.sender.cancel(number)).await
            }
            None => Ok(()),
        }
    }

    /// What comes next; may be dropped and asked again without loss. `None` for what concerns nobody.
    pub(super) async fn next(&mut self) -> Result<Option<Word>, RegistryError> {
        let answer = match self.receiver.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let source = Error::WatchError("the server ended the stream".to_owned());
                return Err(self.session.unreachable("the watch ended", source));
            }
            Err(error) => return Err(self.session.unreachable("the watch was lost", error)),
        };
        Ok(self.read(&answer))
    }

    /// Gives up the watches that were made though nobody wants them any more.
    pub(super) async fn tidy(&mut self) -> Result<(), RegistryError> {
        while let Some(number) = self.unwanted.pop() {
            send(self.session, self.sender.cancel(number)).await?;
        }
        Ok(())
    }

    fn read(&mut self, answer: &WatchResponse) -> Option<Word> {
        let number = answer.watch_id();
        if answer.created() {
            let ticket = self.asked.pop_front().flatten();
            return match (ticket, answer.canceled()) {
                (Some(ticket), true) => {
                    let says = Says::Refused(answer.cancel_reason().to_owned());
                    Some(Word { ticket, says })
                }
                (Some(ticket), false) => {
                    self.made.insert(number, ticket);
                    None
                }
                // The first watch of all stays.
                (None, false) if std::mem::replace(&mut self.has_first, true) => {
                    self.unwanted.push(number);
                    None
                }
                (None, _) => None,
            };
        }
        if answer.canceled() {
            let ticket = self.made.remove(&number)?;
            let says = match answer.compact_revision() {
                0 => Says::Over(answer.cancel_reason().to_owned()),
                _ => Says::Compacted,
            };
            return Some(Word { ticket, says });
        }
        let ticket = self.made.get(&number).copied()?;
        let reached = answer.header().map(etcd_client::ResponseHeader::revision).unwrap_or_default();
        let events: Vec<Event> = answer.events().iter().filter_map(event).collect();
        let says = if events.is_empty() { Says::Reached(reached) } else { Says::Events(events) };
        Some(Word { ticket, says })
    }
}

fn event(told: &Told) -> Option<Event> {
    let entry = told.kv()?;
    let (key, revision) = (entry.key().to_vec(), entry.mod_revision());
    Some(match told.event_type() {
        EventType::Put => {
            Event::Put(Record { key, value: entry.value().to_vec(), lease: entry.lease(), revision })
        }
        EventType::Delete => Event::Delete { key, revision },
    })
}

/// Requests wait while etcd does not take any.
async fn send(
    session: &Session<'_>,
    request: impl Future<Output = Result<(), Error>>,
) -> Result<(), RegistryError> {
    let sent = session.call("take a request of the watch at", &session.settings.base, request).await;
    sent.map_err(|fault: Fault| session.failure(fault, "the watch took no request"))
}
