//! One `sh` that stays open while a person types block after block into it. It knows no plan.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long one block may take: more than any waits, and the test then says which it was.
const LIMIT: Duration = Duration::from_secs(120);
const MARK: &str = "=== the block ended with ";

/// A shell.
pub struct Shell {
    child: Child,
    keys: ChildStdin,
    screen: Receiver<String>,
}

impl Shell {
    /// Opens one in a directory, with these variables and no others.
    pub fn open(dir: &Path, env: &BTreeMap<String, String>) -> Shell {
        let mut command = Command::new("/bin/sh");
        command.env_clear().envs(env).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("there is a /bin/sh");
        let keys = child.stdin.take().expect("it was piped");
        let output = child.stdout.take().expect("it was piped");
        let (tell, screen) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if tell.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let mut shell = Shell { child, keys, screen };
        shell.typed("exec 2>&1").expect("it takes its first line");
        shell
    }

    /// Types a block and waits for its end. What it printed is the error if that end was not good.
    pub fn typed(&mut self, block: &str) -> Result<String, String> {
        let keys = format!("{block}\nprintf '\\n{MARK}%s\\n' \"$?\"\n");
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).map_err(|e| format!("the shell is gone: {e}"))?;
        let (end, mut said) = (Instant::now() + LIMIT, String::new());
        loop {
            let line = self.screen.recv_timeout(end.saturating_duration_since(Instant::now())).map_err(|why| match why {
                RecvTimeoutError::Timeout => format!("it does not end:\n{block}\n{said}"),
                RecvTimeoutError::Disconnected => format!("it ended the shell:\n{block}\n{said}"),
            })?;
            match line.strip_prefix(MARK) {
                Some("0") => return Ok(said),
                Some(code) => return Err(format!("exit code {code} of\n{block}\n{said}")),
                None => said.push_str(&format!("{line}\n")),
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
