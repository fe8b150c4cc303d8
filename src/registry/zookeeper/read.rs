//! Reading nodes: a whole folder, or some of its children, many in one request.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use zookeeper_client::{Error, MultiReadResult, Stat};

use super::session::{Fault, Means, Session};

/// The most nodes read in one request.
const NODES_PER_REQUEST: usize = 500;
/// The most bytes of paths in one request: the server cuts the connection at 1 MiB, and each path brings some bytes more.
const BYTES_PER_REQUEST: usize = 768 * 1024;
/// What a path brings with it in a request, in bytes, at most.
const BYTES_PER_PATH: usize = 32;
/// Single reads on their way at a time, where there is no reading of many.
const SINGLE_READS: usize = 128;

/// What reading one node gave.
#[derive(Debug)]
pub(super) enum Read {
    /// Its data.
    Data(Vec<u8>, Stat),
    /// It is not there (any more).
    Missing,
    /// Not for this proxy's eyes.
    Denied,
}

/// Reads nodes of a folder; those whose name cannot be asked for are not there.
pub(super) async fn nodes(
    session: &Session<'_>,
    folder: &str,
    names: Vec<String>,
) -> Result<Vec<(String, Read)>, Fault> {
    match session.means {
        Means::Recursive => many(session, folder, names).await,
        Means::OneShot => singly(session, folder, names).await,
    }
}

async fn many(session: &Session<'_>, folder: &str, names: Vec<String>) -> Result<Vec<(String, Read)>, Fault> {
    let mut found = Vec::with_capacity(names.len());
    let mut names = names.into_iter().peekable();
    while names.peek().is_some() {
        let mut reader = session.client.new_multi_reader();
        let mut asked = Vec::new();
        let mut bytes = 0;
        while asked.len() < NODES_PER_REQUEST
            && bytes < BYTES_PER_REQUEST
            && let Some(name) = names.next()
        {
            let path = join(folder, &name);
            bytes += session.settings.chroot.len() + path.len() + BYTES_PER_PATH;
            match reader.add_get_data(&path) {
                Ok(()) => asked.push(name),
                Err(_) => found.push((name, Read::Missing)),
            }
        }
        let answers = session.call("read the records in", folder, reader.commit()).await?;
        if answers.len() != asked.len() {
            let error = Error::UnexpectedError(format!("{} answers to {} reads", answers.len(), asked.len()));
            return Err(Fault::Failed(session.unreachable(format!("could not read {folder}"), error)));
        }
        for (name, answer) in asked.into_iter().zip(answers) {
            found.push((name, of_many(session, folder, answer)?));
        }
    }
    Ok(found)
}

fn of_many(session: &Session<'_>, folder: &str, answer: MultiReadResult) -> Result<Read, Fault> {
    let error = match answer {
        MultiReadResult::Data { data, stat } => return Ok(Read::Data(data, stat)),
        MultiReadResult::Error { err: Error::NoNode } => return Ok(Read::Missing),
        MultiReadResult::Error { err: Error::NoAuth } => return Ok(Read::Denied),
        MultiReadResult::Error { err } => err,
        other @ (MultiReadResult::Children { .. } | _) => {
            Error::UnexpectedError(format!("not an answer to a read: {other:?}"))
        }
    };
    Err(Fault::Failed(session.unreachable(format!("could not read a record in {folder}"), error)))
}

async fn singly(
    session: &Session<'_>,
    folder: &str,
    names: Vec<String>,
) -> Result<Vec<(String, Read)>, Fault> {
    let read = async |name: String| {
        let path = join(folder, &name);
        match session.call("read", &path, session.client.get_data(&path)).await {
            Ok((data, stat)) => Ok((name, Read::Data(data, stat))),
            Err(Fault::Missing | Fault::Unthinkable) => Ok((name, Read::Missing)),
            Err(Fault::Denied) => Ok((name, Read::Denied)),
            Err(fault) => Err(fault),
        }
    };
    stream::iter(names).map(read).buffered(SINGLE_READS).try_collect().await
}

/// The path of a child.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder == "/" { format!("/{name}") } else { format!("{folder}/{name}") }
}
