//! Clients whose end nobody would learn of yet: most have their answer before there is anything to learn.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::Client;

/// For how long one that goes away may be taken for one that waits: about the time that many answers take, and so short that the
/// provider has hardly begun to work for nobody.
const GRACE: Duration = Duration::from_millis(10);

/// Whether somebody would learn of the end of a fresh connection while an answer is awaited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// Nobody, and nobody has asked for it.
    #[default]
    No,
    /// It was asked for.
    Asked,
    /// It will be before long.
    Soon,
    /// It is to be now.
    Now,
}

/// The clients of a worker that will be watched before long.
#[derive(Debug, Default)]
pub struct Unwatched {
    clients: RefCell<Vec<Weak<Client>>>,
    /// Told of the first one.
    news: Notify,
}

impl Unwatched {
    /// Has a client watched before long that asked for it.
    pub fn heed(&self, client: &Rc<Client>) {
        if client.watch() != Watch::Asked {
            return;
        }
        client.set_watch(Watch::Soon);
        let mut clients = self.clients.borrow_mut();
        if clients.is_empty() {
            self.news.notify_one();
        }
        clients.push(Rc::downgrade(client));
    }

    /// Has those watched that are still there.
    pub fn watch_all(&self) {
        let mut clients = self.clients.take();
        for client in clients.drain(..).filter_map(|client| client.upgrade()) {
            client.set_watch(Watch::Now);
        }
        let mut others = self.clients.borrow_mut();
        if others.is_empty() {
            // Its room is used again.
            *others = clients;
        }
    }

    /// Has each watched when its time has come, as long as it is polled.
    pub async fn run(&self) {
        loop {
            self.news.notified().await;
            sleep(GRACE).await;
            self.watch_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use tokio::time::timeout;

    use super::*;
    use crate::proxy::client::tests::client;

    #[tokio::test(start_paused = true)]
    async fn whoever_still_waits_after_a_while_is_watched() {
        let unwatched = Unwatched::default();
        let [(waits, ..), (ends, ..), (idles, ..)] = [client(), client(), client()];
        assert_eq!(waits.take_order(&Context::from_waker(Waker::noop())), None);
        for client in [&waits, &ends] {
            client.ask_for_watch();
            unwatched.heed(client);
            unwatched.heed(client);
        }
        unwatched.heed(&idles);
        assert_eq!([waits.watch(), idles.watch()], [Watch::Soon, Watch::No]);
        assert_eq!(unwatched.clients.borrow().len(), 2);
        drop(ends);
        timeout(GRACE / 2, unwatched.run()).await.unwrap_err();
        assert_eq!(waits.watch(), Watch::Soon);
        unwatched.news.notify_one();
        timeout(2 * GRACE, unwatched.run()).await.unwrap_err();
        waits.ask_for_watch();
        assert_eq!((waits.watch(), unwatched.clients.borrow().len()), (Watch::Now, 0));
    }
}
