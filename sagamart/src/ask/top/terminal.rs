//! The terminal: a screen of its own while `top` runs, keys as they are pressed, and all as it was afterwards.

use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    thread,
};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// Another screen than the one with the shell, without a cursor. (Lines are not wrapped: a terminal that is made smaller before the next
/// screen comes only cuts them.)
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The key that ends it.
pub(super) const QUIT: u8 = b'q';

/// See the module. It is as it was once this is dropped.
#[derive(Debug)]
pub(super) struct Terminal {
    /// How keys were treated before; nothing where they come from no terminal.
    before: Option<Termios>,
    keys: mpsc::UnboundedReceiver<u8>,
}

impl Terminal {
    pub(super) fn enter() -> io::Result<Self> {
        let (pressed, keys) = mpsc::unbounded_channel();
        let before = if io::stdin().is_terminal() { Some(take_keys()?) } else { None };
        let terminal = Self { before, keys };
        if terminal.before.is_some() {
            // It ends with the process: nothing ends a read of a terminal.
            thread::Builder::new().name("keys".to_owned()).spawn(move || {
                let bytes = io::stdin().lock().bytes();
                bytes.map_while(Result::ok).take_while(|key| pressed.send(*key).is_ok()).for_each(drop);
            })?;
        }
        let mut out = io::stdout().lock();
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok(terminal)
    }

    /// Columns and lines; those of old where it does not say.
    pub(super) fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            _ => (80, 24),
        }
    }

    /// Shows these lines in place of what is there, without a moment in which it is empty.
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let lines: Vec<_> = lines.iter().map(|line| format!("{line}\x1b[K")).collect();
        let mut out = io::stdout().lock();
        write!(out, "\x1b[H{}\x1b[J", lines.join("\r\n"))?;
        out.flush()
    }

    /// The next key.
    pub(super) async fn key(&mut self) -> u8 {
        match self.keys.recv().await {
            Some(key) => key,
            // There are none, or no more.
            None => std::future::pending().await,
        }
    }

    /// Waits for the key that ends it; others are for nothing meanwhile.
    pub(super) async fn quit(&mut self) {
        while self.key().await != QUIT {}
    }
}

/// From now on keys come as they are pressed, and are not shown. Ctrl-C is still a signal; ctrl-Z is nothing, for a shell
/// that came back would have a terminal like this.
fn take_keys() -> io::Result<Termios> {
    let before = tcgetattr(io::stdin())?;
    let mut taken = before.clone();
    taken.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
    taken.special_codes[SpecialCodeIndex::VMIN] = 1;
    taken.special_codes[SpecialCodeIndex::VTIME] = 0;
    taken.special_codes[SpecialCodeIndex::VSUSP] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &taken)?;
    Ok(before)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        // Of a terminal that has gone nothing is to be restored.
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
