//! Raw connections: each goes to one provider of its listener's service, and its bytes pass both ways whatever they say.

mod account;
mod complaints;
mod course;
mod opening;
mod relay;

use std::rc::Rc;

pub use complaints::Complaints;

use self::account::{Account, End};
use self::course::Course;
use self::relay::Relay;
use super::client::{Client, ClientStream};
use super::worker::Worker;
use crate::provider::ServiceName;

/// Serves a raw connection until it ends.
///
/// The provider is sought at once, not after the first bytes: in many protocols it is the one who speaks first. Where none is
/// found the connection is reset, so that it does not look as if the provider had nothing to say.
pub async fn serve(worker: &Rc<Worker>, stream: ClientStream, client: Rc<Client>, service: &ServiceName) {
    client.set_raw();
    let account = Account::begin(worker, &client, service);
    let stream = Unserved(Some(stream));
    let sought = {
        let _awaited = client.await_answer(None);
        Box::pin(Course::run(worker, &client, stream.waiting(), &account)).await
    };
    let end = match sought {
        Ok(connected) => Relay::new(stream.served(), connected, &account).run(&client).await,
        Err(error) => {
            worker.complaints.tell(&account, &error);
            End::Failed(error.reason())
        }
    };
    account.end(end);
}

/// A client that has no provider yet: dropped, it is reset.
struct Unserved(Option<ClientStream>);

impl Unserved {
    fn waiting(&self) -> &ClientStream {
        self.0.as_ref().expect("it is taken by what takes all of this")
    }

    fn served(mut self) -> ClientStream {
        self.0.take().expect("it is taken by what takes all of this")
    }
}

impl Drop for Unserved {
    fn drop(&mut self) {
        if let Some(stream) = &self.0 {
            stream.abort();
        }
    }
}
