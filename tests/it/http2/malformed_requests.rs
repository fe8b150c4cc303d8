//! Requests and frames of clients that HTTP/2 does not allow, and some at its edge: what each is answered with, and that
//! nothing of it reaches the provider.

mod connections;
mod messages;

use crate::support::frames::{Frames, get};
use crate::support::provider::Echo;
use crate::support::proxy::{config, start};
use crate::support::registry::Told;
use crate::support::wire::{Code, GOAWAY, HEADERS, RESET, WHOLE, frame};

/// The stream of the request that is asked after each case, to see whether the connection goes on.
const NEXT: u32 = 1001;

/// What a case leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    /// The connection ends with this.
    GoAway(Code),
    /// The stream ends with this, and the connection goes on.
    Reset(Code),
    /// The request is answered with this, and the connection goes on.
    Answer(u16),
    /// Nothing, and the connection goes on.
    Nothing,
    /// The connection ends without a word.
    Ended,
}

/// One thing that a client says: the section that it is about, what it is, its bytes, and what comes of it.
struct Case {
    section: &'static str,
    what: &'static str,
    bytes: Vec<u8>,
    expected: Reaction,
}

fn case(section: &'static str, what: &'static str, bytes: impl AsRef<[u8]>, expected: Reaction) -> Case {
    Case { section, what, bytes: bytes.as_ref().to_vec(), expected }
}

/// What comes of bytes said on a connection of their own. What is answered with 200 is what follows, unless it is the case.
async fn react(client: &mut Frames, bytes: &[u8], waits: bool) -> Reaction {
    client.try_say([bytes, &frame(HEADERS, WHOLE, NEXT, get("/next"))].concat()).await;
    let (mut reaction, mut goes_on) = (Reaction::Nothing, false);
    loop {
        let Some(frame) = client.next().await else { return Reaction::Ended };
        match frame.kind {
            GOAWAY => return Reaction::GoAway(frame.code()),
            RESET if frame.stream != NEXT => reaction = Reaction::Reset(frame.code()),
            // Where the answer comes first, the reset after it asks for no more of the request.
            HEADERS if frame.stream != NEXT && reaction == Reaction::Nothing => {
                reaction = Reaction::Answer(frame.status());
            }
            HEADERS if frame.stream == NEXT => {
                assert_eq!(frame.status(), 200, "the next request");
                goes_on = true;
            }
            _ => {}
        }
        // Answers need not come in order.
        if goes_on && (reaction != Reaction::Nothing || !waits) {
            return reaction;
        }
    }
}

/// Goes through cases, and tells of all that went otherwise at once.
async fn check(cases: Vec<Case>) {
    let echo = Echo::start().await;
    let proxy = start(config(), Told::with("svc", &[echo.address()]));
    let (mut wrong, mut good) = (Vec::new(), 0);
    for Case { section, what, bytes, expected } in &cases {
        let mut client = Frames::connect(proxy.listeners[0]).await;
        let waits = *expected != Reaction::Nothing;
        let found = react(&mut client, bytes, waits).await;
        if found != *expected {
            wrong.push(format!("{section} {what}: {found:?} instead of {expected:?}"));
        }
        good += match found {
            Reaction::Answer(200) => 2,
            Reaction::Answer(_) | Reaction::Reset(_) | Reaction::Nothing => 1,
            Reaction::GoAway(_) | Reaction::Ended => 0,
        };
    }
    assert!(wrong.is_empty(), "of {} cases:\n{}", cases.len(), wrong.join("\n"));
    assert!(echo.requests() <= good, "{} requests reached the provider, {good} were sound", echo.requests());
    assert_eq!(proxy.metrics.proxy.panics_total.get(), 0);
    println!("{} cases, {} requests at the provider", cases.len(), echo.requests());
}
