//! The estate: what a process holds for the one that may take its place, a second descriptor of every socket.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};

use crate::app::sockets::{Duty, Given};
use crate::proxy::{ListenAddress, SocketFile};

/// What is held for a successor. As long as it is there, every socket in it is listened on, whoever accepts.
#[derive(Debug, Default)]
pub(in crate::app) struct Estate {
    sockets: Vec<Given>,
    /// The files of Unix sockets, which the successor removes at its end.
    files: Vec<Weak<SocketFile>>,
}

impl Estate {
    /// Adds the sockets of a listener, under the address that the configuration has for it.
    ///
    /// # Errors
    /// When there is no descriptor to spare.
    pub(in crate::app) fn add<'s>(
        &mut self,
        duty: Duty,
        address: &ListenAddress,
        sockets: impl Iterator<Item = &'s (impl AsFd + 's)>,
        file: Option<&Arc<SocketFile>>,
    ) -> io::Result<()> {
        let descriptors =
            sockets.map(|socket| socket.as_fd().try_clone_to_owned()).collect::<io::Result<_>>()?;
        let (address, owns_file) = (Some(address.clone()), file.is_some());
        self.sockets.push(Given { duty: Some(duty), address, owns_file, descriptors });
        self.files.extend(file.map(Arc::downgrade));
        Ok(())
    }

    pub(super) fn sockets(&self) -> &[Given] {
        &self.sockets
    }

    /// Takes the files of its sockets, which another process looked after until now.
    pub(in crate::app) fn take_files(&self) {
        self.files.iter().filter_map(Weak::upgrade).for_each(|file| file.take());
    }

    /// Leaves the files of its sockets to the successor.
    pub(in crate::app) fn leave_files(&self) {
        self.files.iter().filter_map(Weak::upgrade).for_each(|file| file.leave());
    }
}
