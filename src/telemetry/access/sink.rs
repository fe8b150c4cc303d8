//! Where lines end up: several written at once, to a file that may be renamed at any time, as logrotate does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are written at once, unless no more lines come before that.
const BATCH_BYTES: usize = 64 * 1024;

/// Takes one line with each call and writes whole lines only. What cannot be written is counted, and ends nothing; a line of which
/// only a part could be written is ended before the next one.
pub(super) struct Sink {
    to: To,
    batch: Vec<u8>,
    /// Lines in it.
    lines: u64,
    /// Lines that could not be written. Read by scrapes.
    lost: Arc<AtomicU64>,
    /// Whether the last write failed, so that this is said once.
    is_failing: bool,
    /// Whether what was written last ends within a line.
    is_torn: bool,
}

/// Where lines go.
pub(super) enum To {
    /// Somewhere that has no name.
    Output(Box<dyn Write + Send>),
    /// The end of a file.
    File(Named),
}

/// A file by its name: whoever gives it another one finds a new file in its place with the next line.
pub(super) struct Named {
    path: PathBuf,
    file: File,
    /// Whether there could be no new one in its place, so that this is said once.
    is_adrift: bool,
}

impl Named {
    /// Opens it, or makes it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: Self::end_of(path)?, is_adrift: false })
    }

    fn end_of(path: &Path) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(path)
    }

    /// The file that has the name now. The old one is kept while there can be no new one, so that no line is lost.
    fn current(&mut self) -> &mut File {
        let identity = |data: io::Result<fs::Metadata>| data.ok().map(|data| (data.dev(), data.ino()));
        if identity(fs::metadata(&self.path)) != identity(self.file.metadata()) {
            match Self::end_of(&self.path) {
                Ok(file) => {
                    self.file = file;
                    self.is_adrift = false;
                }
                Err(error) => {
                    let path = self.path.display();
                    if !std::mem::replace(&mut self.is_adrift, true) {
                        tracing::warn!(%path, %error, "the access log was moved away and cannot be made anew; lines follow it");
                    }
                }
            }
        }
        &mut self.file
    }
}

impl Sink {
    pub(super) fn new(to: To, lost: Arc<AtomicU64>) -> Self {
        Self { to, batch: Vec::new(), lines: 0, lost, is_failing: false, is_torn: false }
    }

    /// Writes what has come. Looks for the file even if nothing has, so that one that was moved away is let go.
    fn put(&mut self) {
        if self.is_torn
            && let To::File(named) = &mut self.to
        {
            // Where the file is another one by now, or was emptied to make room, no line is to be ended in it.
            self.is_torn = named.current().metadata().is_ok_and(|data| data.len() > 0);
        }
        let was_torn = self.is_torn && !self.batch.is_empty();
        if was_torn {
            self.batch.insert(0, b'\n');
        }
        let (count, written) = match &mut self.to {
            To::Output(output) => match output.write_all(&self.batch).and_then(|()| output.flush()) {
                Ok(()) => (self.batch.len(), Ok(())),
                Err(error) => (0, Err(error)),
            },
            To::File(named) => write_some(named.current(), &self.batch),
        };
        let done = &self.batch[..count];
        if let Some(last) = done.last() {
            self.is_torn = *last != b'\n';
        }
        if let Err(error) = &written {
            let ends = done.iter().filter(|byte| **byte == b'\n').count() as u64;
            let whole = ends.saturating_sub(was_torn.into());
            self.lost.fetch_add(self.lines.saturating_sub(whole), Ordering::Relaxed);
            if !self.is_failing {
                tracing::error!(%error, "the access log cannot be written; lines are lost and counted");
            }
        }
        self.is_failing = written.is_err();
        self.batch.clear();
        self.lines = 0;
    }
}

/// Writes what can be written: how many bytes that were, and why no more. A full disk may take a part of them.
fn write_some(to: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut count = 0;
    while count < bytes.len() {
        match to.write(&bytes[count..]) {
            Ok(0) => return (count, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (count, Err(error)),
        }
    }
    (count, Ok(()))
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.batch.extend_from_slice(line);
        self.lines += 1;
        if self.batch.len() >= BATCH_BYTES {
            self.put();
        }
        Ok(line.len())
    }

    /// Called whenever no more lines wait.
    fn flush(&mut self) -> io::Result<()> {
        self.put();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(path: &Path) -> (Sink, Arc<AtomicU64>) {
        let lost = Arc::<AtomicU64>::default();
        (Sink::new(To::File(Named::open(path).unwrap()), Arc::clone(&lost)), lost)
    }

    fn say(sink: &mut Sink, line: &str) {
        sink.write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn a_file_that_was_renamed_gets_no_more_lines_and_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let (mut sink, lost) = sink(&path);
        say(&mut sink, "one\n");
        sink.flush().unwrap();
        say(&mut sink, "two\n");
        fs::rename(&path, &old).unwrap();
        sink.flush().unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        // Removed, and made anew by somebody else.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "theirs\n").unwrap();
        say(&mut sink, "three\n");
        sink.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\nthree\n");
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn lines_follow_a_file_whose_folder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (within, away) = (folder.path().join("logs"), folder.path().join("away"));
        fs::create_dir(&within).unwrap();
        let (mut sink, lost) = sink(&within.join("access.log"));
        fs::rename(&within, &away).unwrap();
        say(&mut sink, "one\n");
        sink.flush().unwrap();
        assert_eq!(fs::read_to_string(away.join("access.log")).unwrap(), "one\n");
        fs::create_dir(&within).unwrap();
        say(&mut sink, "two\n");
        sink.flush().unwrap();
        assert_eq!(fs::read_to_string(within.join("access.log")).unwrap(), "two\n");
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_written_of_a_batch_is_known() {
        /// Has room for so many bytes.
        struct Room(usize);
        impl Write for Room {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(self.0);
                self.0 -= taken;
                if taken > 0 { Ok(taken) } else { Err(io::ErrorKind::StorageFull.into()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (count, written) = write_some(&mut Room(6), b"one\ntwo\n");
        assert_eq!((count, written.unwrap_err().kind()), (6, io::ErrorKind::StorageFull));
        assert!(matches!(write_some(&mut Room(8), b"one\ntwo\n"), (8, Ok(()))));
    }

    #[test]
    fn a_line_of_which_a_part_was_written_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let (mut sink, lost) = sink(&path);
        fs::write(&path, "half a li").unwrap();
        sink.is_torn = true;
        sink.flush().unwrap();
        say(&mut sink, "one\n");
        sink.flush().unwrap();
        say(&mut sink, "two\n");
        sink.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "half a li\none\ntwo\n");
        sink.is_torn = true;
        fs::rename(&path, folder.path().join("access.log.1")).unwrap();
        say(&mut sink, "three\n");
        sink.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n", "no empty line begins another file");
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_cannot_be_written_is_counted_by_lines_and_later_ones_are_tried() {
        /// Is full until told otherwise.
        struct Full(Arc<AtomicU64>);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let room = self.0.load(Ordering::Relaxed) > 0;
                if room { Ok(bytes.len()) } else { Err(io::ErrorKind::StorageFull.into()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (room, lost) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let mut sink = Sink::new(To::Output(Box::new(Full(Arc::clone(&room)))), Arc::clone(&lost));
        say(&mut sink, "one\n");
        say(&mut sink, "two\n");
        sink.flush().unwrap();
        assert_eq!(lost.load(Ordering::Relaxed), 2);
        room.store(1, Ordering::Relaxed);
        say(&mut sink, "three\n");
        sink.flush().unwrap();
        assert_eq!(lost.load(Ordering::Relaxed), 2);
    }
}
