//! A passphrase, asked for on the terminal and nowhere else: never an argument, never a variable, never a pipe.

use std::fs::File;
use std::io::{Read as _, Write as _};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Longer passphrases there are none.
const LIMIT: usize = 1024;

/// Gives the terminal back as it was.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Asks on the controlling terminal; what is typed is not shown.
pub fn passphrase(question: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let opened = rustix::fs::open("/dev/tty", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty());
    let mut terminal = File::from(opened.map_err(|_| "there is no terminal to ask on".to_owned())?);
    let words = |error: &dyn std::fmt::Display| format!("the terminal failed: {error}");
    let before = tcgetattr(&terminal).map_err(|error| words(&error))?;
    // Byte by byte and without signals: ^C must find a terminal that shows again what is typed.
    let mut quiet = before.clone();
    quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
    quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(&terminal, OptionalActions::Flush, &quiet).map_err(|error| words(&error))?;
    let guard = Quiet { terminal: &terminal, before };
    let mut answer = &terminal;
    write!(answer, "{question}: ").and_then(|()| answer.flush()).map_err(|error| words(&error))?;
    let typed = read(&mut answer);
    drop(guard);
    writeln!(terminal).map_err(|error| words(&error))?;
    typed
}

/// What is typed up to the end of the line. The buffer never grows.
fn read(terminal: &mut &File) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut typed = Zeroizing::new(Vec::with_capacity(LIMIT));
    let mut byte = Zeroizing::new([0_u8]);
    loop {
        match terminal.read(&mut byte[..]) {
            Ok(0) => return Err("the terminal was closed".to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("the terminal failed: {error}")),
        }
        match byte[0] {
            b'\n' | b'\r' => return Ok(typed),
            // ^C, ^D
            3 | 4 => return Err("it was broken off".to_owned()),
            // Backspace takes a whole letter back, however many octets it has.
            8 | 127 => while typed.pop().is_some_and(|octet| octet & 0xc0 == 0x80) {},
            // ^U
            21 => typed.clear(),
            octet if typed.len() < LIMIT => typed.push(octet),
            _ => return Err("it is longer than any passphrase".to_owned()),
        }
    }
}
