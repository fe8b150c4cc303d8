//! A terminal that a program runs in: what is typed reaches it, and what it draws is seen as a person would see it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use vt100::Parser;

use super::patience::eventually;
use super::program::binary;

/// How long a program may take for anything on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A terminal, and the program that runs in it; killed when dropped.
pub(crate) struct Terminal {
    child: Child,
    /// The side on which a person types and sees.
    person: File,
    /// The side of the program, held open so that its modes can be read when the program has ended.
    program: File,
    screen: Arc<Mutex<Parser>>,
}

fn number(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("a terminal has room")
}

impl Terminal {
    /// Starts the program with these arguments in a terminal of so many columns and rows.
    pub(crate) fn launch(arguments: &[&str], columns: u16, rows: u16) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        unlockpt(&person).unwrap();
        let program = ioctl_tiocgptpeer(&person, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let (person, program) = (File::from(person), File::from(program));
        set_size(&person, columns, rows);
        let side = || Stdio::from(program.try_clone().unwrap());
        // A session of its own, of which this is the terminal: as a login has it, so that a change of its size is told.
        let mut command = Command::new("setsid");
        command.args(["--ctty", &binary()]).args(arguments).env_clear().env("TERM", "xterm-256color");
        command.env("PATH", std::env::var_os("PATH").unwrap());
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        let screen = Arc::new(Mutex::new(Parser::new(number(rows), number(columns), 0)));
        let (mut from, to) = (person.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails once nobody has the other side any more.
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                to.lock().process(&bytes[..read]);
            }
        });
        Self { child, person, program, screen }
    }

    /// What is on the screen.
    pub(crate) fn contents(&self) -> String {
        self.screen.lock().screen().contents()
    }

    /// Waits until a text is on the screen; gives all that is there.
    pub(crate) async fn shows(&self, text: &str) -> String {
        let find = || Some(self.contents()).filter(|contents| contents.contains(text));
        eventually(LIMIT, &format!("{text:?} on the screen"), find).await
    }

    /// Types something.
    pub(crate) fn types(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    /// Makes it smaller or larger.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.screen.lock().set_size(number(rows), number(columns));
        set_size(&self.person, columns, rows);
    }

    /// Whether it is as a shell wants it: what was there is shown, with a cursor, and lines are read as such and echoed.
    pub(crate) fn is_as_before(&self) -> bool {
        let modes = tcgetattr(&self.program).unwrap().local_modes;
        let screen = self.screen.lock();
        let screen = screen.screen();
        !screen.alternate_screen()
            && !screen.hide_cursor()
            && modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits until the program has ended; how it ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually(LIMIT, "the end of the program", || child.try_wait().unwrap()).await
    }

    /// Ends the program by a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(terminal: &File, columns: u16, rows: u16) {
    let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}
