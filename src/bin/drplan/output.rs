//! The only place that writes to the standard streams. A reader who went away is no failure: the rest is dropped.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use drplan::source::{harmless, obeyed};
use serde_json::Value;

use crate::exit::Stop;
use crate::settings::Color;

/// Writes data to standard output, for people: nothing in it is obeyed by a terminal.
pub fn data(text: &str) -> Result<(), Stop> {
    verbatim(&harmless(text))
}

/// Writes to standard output what must not be changed: colours of ours, a text whose bytes have a digest.
pub fn verbatim(text: &str) -> Result<(), Stop> {
    written(io::stdout().lock(), text, "standard output")
}

/// Writes a value to standard output, as JSON on several lines.
pub fn json(value: &Value) -> Result<(), Stop> {
    verbatim(&format!("{}\n", escaped(&format!("{value:#}"))))
}

/// Writes a value to standard output, as JSON on one line.
pub fn json_line(value: &Value) -> Result<(), Stop> {
    verbatim(&format!("{}\n", escaped(&value.to_string())))
}

/// The same JSON without characters that a terminal would obey: they can only stand in its texts.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if obeyed(c) && c != '\n' {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// Writes progress and messages to standard error; nothing in them is obeyed by a terminal. There is nobody to tell if
/// that fails.
pub fn say(text: &str) {
    painted(&harmless(text));
}

/// Writes to standard error what was made harmless where it was painted.
pub fn painted(text: &str) {
    let _ = written(io::stderr().lock(), text, "standard error");
}

/// Whether a person can be asked, and answer.
pub fn asks() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// A line for people, broken at words so that it fits on a screen of 80 columns.
pub fn folded(line: &str, first: usize, rest: usize) -> String {
    let mut out = format!("{:first$}", "");
    let mut column = first;
    for (n, word) in line.split(' ').enumerate() {
        let wide = word.chars().count();
        if n > 0 && column + 1 + wide > 79 {
            out.push_str(&format!("\n{:rest$}", ""));
            column = rest;
        } else if n > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += wide;
    }
    out.push('\n');
    out
}

/// Writes a file whole, or says which one could not be written.
pub fn file(path: &Path, text: &str) -> Result<(), Stop> {
    std::fs::write(path, text).map_err(|e| Stop::no_input(format!("cannot write {}: {e}", path.display())))
}

/// Whether standard output is to be coloured.
pub fn color_out(color: Color) -> bool {
    wanted(color, io::stdout().is_terminal())
}

/// Whether standard error is to be coloured.
pub fn color_err(color: Color) -> bool {
    wanted(color, io::stderr().is_terminal())
}

fn wanted(color: Color, terminal: bool) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}

fn written(mut stream: impl Write + AsFd, text: &str, name: &str) -> Result<(), Stop> {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(e) if !gone(&e, &stream) => Err(Stop::no_input(format!("cannot write to {name}: {e}"))),
        _ => Ok(()),
    }
}

/// Whether nobody reads any more: the pipe is closed, or the terminal is lost.
fn gone(e: &io::Error, stream: &impl AsFd) -> bool {
    let lost = e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    let terminal = || rustix::fs::fstat(stream).is_ok_and(|f| rustix::fs::FileType::from_raw_mode(f.st_mode).is_char_device());
    e.kind() == io::ErrorKind::BrokenPipe || (lost && terminal())
}
