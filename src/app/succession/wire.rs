//! What the two processes say to each other: one message with everything there is, the sockets behind it, one word back, one
//! more.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::announce::Bequest;
use crate::app::sockets::{Duty, Given};

/// The version of what is said; another one is not understood.
const VERSION: u32 = 1;
/// The most bytes of the first message. What was experienced with endpoints is at most 16 MiB, escaped in JSON.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most sockets: a listener has one for each worker.
const SOCKETS_MAX: usize = 4096;

/// What the heir is told when it may take connections.
pub(super) const YOURS: &str = "yours\n";
/// What it is told when it was waited for in vain.
pub(super) const LATE: &str = "late\n";

/// Everything that is left.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offer {
    version: u32,
    sockets: Vec<Listed>,
    pub(super) announcements: Vec<Bequest>,
    /// What was experienced with endpoints, as the file of a handover has it; `None` where that is not wanted.
    pub(super) experience: Option<String>,
}

/// The sockets of one listener, which follow.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    duty: Duty,
    address: String,
    owns_file: bool,
    count: usize,
}

/// What the heir says when it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    /// The announcements that it looks after from now on.
    pub(super) announcements: Vec<String>,
}

fn malformed(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Sends what is left.
///
/// # Errors
/// When the other one does not take it.
pub(super) fn send(
    mut stream: &UnixStream,
    sockets: &[Given],
    announcements: Vec<Bequest>,
    experience: Option<String>,
) -> io::Result<()> {
    let listed = |given: &Given| {
        let (duty, address) = (given.duty?, given.address.as_ref()?.to_string());
        Some(Listed { duty, address, owns_file: given.owns_file, count: given.descriptors.len() })
    };
    let sockets_listed = sockets.iter().filter_map(listed).collect();
    let offer = Offer { version: VERSION, sockets: sockets_listed, announcements, experience };
    let text = serde_json::to_vec(&offer)?;
    let length = u32::try_from(text.len()).map_err(|_| malformed("there is too much to say"))?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&text)?;
    for descriptor in sockets.iter().flat_map(|given| &given.descriptors) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut passed = SendAncillaryBuffer::new(&mut space);
        let descriptors = [descriptor.as_fd()];
        let fits = passed.push(SendAncillaryMessage::ScmRights(&descriptors));
        debug_assert!(fits, "the space is for one descriptor");
        // A byte has to go with it.
        sendmsg(stream, &[IoSlice::new(b".")], &mut passed, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Receives what is left.
///
/// # Errors
/// When it does not come in time, or is not understood.
pub(super) fn receive(mut stream: &UnixStream) -> io::Result<(Vec<Given>, Offer)> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > BYTES_MAX {
        return Err(malformed("it says too much"));
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text)?;
    let offer: Offer = serde_json::from_slice(&text)?;
    if offer.version != VERSION {
        return Err(malformed(format!("it speaks version {} and this process {VERSION}", offer.version)));
    }
    if offer.sockets.iter().map(|listed| listed.count).sum::<usize>() > SOCKETS_MAX {
        return Err(malformed("it has too many sockets"));
    }
    let mut sockets = Vec::new();
    for Listed { duty, address, owns_file, count } in &offer.sockets {
        let descriptors = (0..*count).map(|_| descriptor(stream)).collect::<io::Result<_>>()?;
        let address = address.parse().map_err(|()| malformed(format!("{address} is no address")))?;
        sockets.push(Given { duty: Some(*duty), address: Some(address), owns_file: *owns_file, descriptors });
    }
    Ok((sockets, offer))
}

/// Receives one descriptor, and the byte that goes with it.
fn descriptor(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut passed = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut passed, RecvFlags::empty())?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let descriptors = passed.drain().filter_map(|message| {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message { Some(descriptors) } else { None }
    });
    let descriptor = descriptors.flatten().next().ok_or_else(|| malformed("a socket did not come"))?;
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn given(listeners: Vec<TcpListener>, address: &str) -> Given {
        let descriptors = listeners.into_iter().map(OwnedFd::from).collect();
        Given {
            duty: Some(Duty::Requests),
            address: Some(address.parse().unwrap()),
            owns_file: true,
            descriptors,
        }
    }

    #[test]
    fn what_is_sent_arrives_with_sockets_that_listen() {
        let (one, other) = UnixStream::pair().unwrap();
        let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let mut listeners = listeners;
        let last = listeners.pop().unwrap();
        let sockets = vec![given(listeners, "127.0.0.1:0"), given(vec![last], "unix:/run/a")];
        // More than the system has room for between the two.
        let experience = "x".repeat(1024 * 1024);
        let sending = experience.clone();
        let sender = std::thread::spawn(move || send(&one, &sockets, Vec::new(), Some(sending)).unwrap());
        let (sockets, offer) = receive(&other).unwrap();
        sender.join().unwrap();
        assert_eq!(offer.experience, Some(experience));
        let said: Vec<_> = sockets.iter().map(|given| given.address.as_ref().unwrap().to_string()).collect();
        assert_eq!(said, ["127.0.0.1:0", "unix:/run/a"]);
        let descriptors: Vec<_> = sockets.into_iter().flat_map(|given| given.descriptors).collect();
        for (descriptor, address) in descriptors.into_iter().zip(addresses) {
            let listener = TcpListener::from(descriptor);
            assert_eq!(listener.local_addr().unwrap(), address);
            let client = TcpStream::connect(address).unwrap();
            assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
        }
    }

    #[test]
    fn what_is_cut_short_or_not_understood_is_refused() {
        let text = br#"{"version":1,"sockets":[{"duty":"admin","address":"127.0.0.1:1","owns_file":false,"count":1}],"announcements":[],"experience":null}"#;
        let other = String::from_utf8_lossy(text).replace("\"version\":1", "\"version\":2").into_bytes();
        let with_length =
            |text: &[u8], length: usize| [&u32::try_from(length).unwrap().to_be_bytes()[..], text].concat();
        for said in [
            Vec::new(),
            with_length(text, text.len() + 1),
            with_length(text, text.len()),
            // A byte without a socket.
            with_length(&[&text[..], b"."].concat(), text.len()),
            with_length(&other, other.len()),
            with_length(b"{}", 2),
            vec![0xff; 8],
        ] {
            let (mut one, two) = UnixStream::pair().unwrap();
            one.write_all(&said).unwrap();
            drop(one);
            assert!(receive(&two).is_err(), "{said:?}");
        }
    }
}
