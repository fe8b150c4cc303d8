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
    let sought = {
        let _awaited = client.await_answer(None);
        Box::pin(Course::run(worker, &client, &stream, &account)).await
    };
    let end = match sought {
        Ok(connected) => Relay::new(stream, connected, &account).run(&client).await,
        Err(error) => {
            stream.abort();
            worker.complaints.tell(&account, &error);
            End::Failed(error.reason())
        }
    };
    account.end(end);
}
