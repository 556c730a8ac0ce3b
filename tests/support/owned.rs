//! A server that a test starts: on a free port of loopback, in a directory of its own, ended with the value, and by
//! itself when this process dies. Its log is shown when it does not get ready, and when the test fails.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server.
pub struct Owned {
    child: Child,
    log: PathBuf,
}

impl Owned {
    /// Starts it, and waits until it is ready.
    pub fn start(argv: &[&str], log: &Path, ready: impl Fn() -> bool) -> Owned {
        Self::start_within(argv, log, 30, ready)
    }

    /// The same for one that takes its time: so many seconds at most.
    pub fn start_within(argv: &[&str], log: &Path, most_s: u64, ready: impl Fn() -> bool) -> Owned {
        let out = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/owned"))
            .args(argv)
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let owned = Owned { child, log: log.to_owned() };
        let start = Instant::now();
        while !ready() {
            assert!(start.elapsed() < Duration::from_secs(most_s), "{argv:?} does not get ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        owned
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(40).collect();
            eprintln!("--- {}", self.log.display());
            last.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A port that nobody uses.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
