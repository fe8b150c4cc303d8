//! The terminal while `wayside top` draws on it, and as it was before.

use std::io::{self, Stdout, Write as _, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::Style;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};

use super::super::table::{Line, Piece};

/// Whether a terminal is to be put back as it was. Written by whoever takes it and by whoever gives it back, be it at a panic.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that is drawn on; put back as it was when dropped, and when something panics.
#[derive(Debug)]
pub(super) struct Terminal {
    out: Stdout,
    /// Whether colours are shown.
    has_colors: bool,
    size: (u16, u16),
}

impl Terminal {
    /// Takes it: keys come as they are typed, and what it showed is kept aside.
    pub(super) fn take(has_colors: bool) -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // What is said of the panic would vanish with the screen that is drawn on.
            give_back();
            before(panic);
        }));
        let mut out = stdout();
        enable_raw_mode()?;
        IS_TAKEN.store(true, Ordering::Relaxed);
        let terminal = Self { out: stdout(), has_colors, size: size()? };
        execute!(out, EnterAlternateScreen, Hide, DisableLineWrap, Clear(ClearType::All))?;
        Ok(terminal)
    }

    /// Its width and height now. A terminal that tells none is taken to have 80 and 24.
    pub(super) fn size(&self) -> (usize, usize) {
        match self.size {
            (0, _) | (_, 0) => (80, 24),
            (width, height) => (width.into(), height.into()),
        }
    }

    /// It has another size.
    pub(super) fn resized(&mut self, width: u16, height: u16) -> io::Result<()> {
        self.size = (width, height);
        queue!(self.out, Clear(ClearType::All))
    }

    /// Draws lines from the top, over what was there.
    pub(super) fn draw(&mut self, lines: &[Line]) -> io::Result<()> {
        queue!(self.out, BeginSynchronizedUpdate)?;
        for (row, line) in (0..).zip(lines) {
            let text = if self.has_colors { line.styled() } else { without_colors(line).styled() };
            queue!(self.out, MoveTo(0, row), Print(text), Clear(ClearType::UntilNewLine))?;
        }
        queue!(self.out, EndSynchronizedUpdate)?;
        self.out.flush()
    }
}

/// The row that is chosen, and titles, are told apart without colours too.
fn without_colors(line: &Line) -> Line {
    let bare = |piece: &Piece| Piece::new(Style::new().effects(piece.style.get_effects()), &piece.text);
    Line(line.0.iter().map(bare).collect())
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Puts the terminal back as it was, once.
fn give_back() {
    if IS_TAKEN.swap(false, Ordering::Relaxed) {
        // It may be gone, and then there is nothing to put back.
        let _ = execute!(stdout(), EnableLineWrap, Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}
