//! A person at a terminal of 80 × 24, and the program there. It does not know what the program does.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use super::desk::Desk;

/// A terminal of 80 × 24 around a command: what is written to this program is typed, what it prints is on the screen; when
/// its input ends the terminal goes away, as a lost ssh does.
const TERMINAL: &str = r"
import fcntl, os, pty, select, struct, sys, termios
pid, screen = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    ready, _, _ = select.select([screen, 0], [], [])
    if screen in ready:
        try:
            data = os.read(screen, 65536)
        except OSError:
            break
        if not data:
            break
        os.write(1, data)
    if 0 in ready:
        data = os.read(0, 65536)
        if not data:
            break
        os.write(screen, data)
os.close(screen)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
";

/// A person at a terminal.
pub struct Seat {
    /// What stands between the terminal and this test.
    pub child: Child,
    /// All that the screen has shown.
    pub seen: String,
}

impl Seat {
    /// Runs the program at it.
    pub fn at(desk: &Desk, words: &[&str]) -> Seat {
        let program = desk.program(words);
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", TERMINAL]).arg(program.get_program()).args(program.get_args()).current_dir(desk.path("."));
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => python.env(name, value),
                None => python.env_remove(name),
            };
        }
        python.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped());
        Seat { child: python.spawn().expect("the terminal is there"), seen: String::new() }
    }

    /// Reads the screen until something stands there.
    pub fn sees(&mut self, what: &str) -> &str {
        let mut bytes = [0; 4096];
        let from = self.seen.len();
        while !self.seen[from..].contains(what) {
            let n = self.child.stdout.as_mut().expect("the terminal is there").read(&mut bytes).expect("the terminal is there");
            assert!(n > 0, "it ended before it showed {what}:\n{}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
        &self.seen[from..]
    }

    /// A line and Enter.
    pub fn types(&mut self, line: &str) {
        self.presses(&format!("{line}\n"));
    }

    /// Keys as they are.
    pub fn presses(&mut self, keys: &str) {
        self.child.stdin.as_mut().expect("the terminal is there").write_all(keys.as_bytes()).expect("the terminal is there");
    }

    /// The connection breaks.
    pub fn is_lost(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for the end; the exit code.
    pub fn ends(mut self) -> Option<i32> {
        let mut rest = String::new();
        let _ = self.child.stdout.as_mut().expect("the terminal is there").read_to_string(&mut rest);
        self.child.wait().expect("the terminal is there").code()
    }
}
