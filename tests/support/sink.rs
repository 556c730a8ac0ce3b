//! `tests/lab/sink.py` for a test: a web server and a mail server on ports of their own, which end with the test, however
//! that ends. It does not judge what they were sent.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The servers.
pub struct Sink {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub web: String,
    /// `smtp://127.0.0.1:PORT`.
    pub mail: String,
}

impl Sink {
    /// Starts them; what they say on standard error is shown with the test.
    pub fn up() -> Sink {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/sink.py");
        let mut child =
            Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{script}: {e}"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it can be read");
        let ports: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("`tests/lab/lab install` first? {e}: {line}"));
        Sink { child, web: format!("http://127.0.0.1:{}", ports["http"]), mail: format!("smtp://127.0.0.1:{}", ports["smtp"]) }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Its standard input ends, and it with that.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
