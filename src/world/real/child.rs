//! One process of this machine, from its start to its end: what it says is kept without secrets, and it is ended with its
//! time. It does not know who asked for it, and remembers nothing.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command as Starting};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::alive::MARK;
use crate::world::strike::{Stream, Striker};
use crate::world::{Command, Exit};

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long after its end what a command said is still awaited: something that it left behind may hold its pipes.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs a command without these variables of this program; `began` hears of its process group. An error: it was not
/// started, and why.
pub(super) async fn run(command: &Command, without: &[String], began: impl FnOnce(Pid)) -> Result<Exit, String> {
    let mut child = start(command, without)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).ok_or("it has no process number")?;
    began(group);
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), command.stdin.clone()) {
        // A command need not read what it is given.
        tokio::spawn(async move {
            let _ = pipe.write_all(text.as_bytes()).await;
        });
    }
    let striker = Arc::new(Striker::new(&command.secrets));
    let (stop, stopped) = watch::channel(());
    let out = child.stdout.take().map(|pipe| tokio::spawn(keep(pipe, striker.clone(), command.keep_bytes, stopped.clone())));
    let err = child.stderr.take().map(|pipe| tokio::spawn(keep(pipe, striker, command.keep_bytes, stopped)));

    let (status, timed_out) = wait(&mut child, group, command.timeout_ms.map(Duration::from_millis)).await;
    tokio::spawn(async move {
        sleep(LAST_WORDS).await;
        drop(stop);
    });
    let (out, err) = (kept(out).await, kept(err).await);
    let (code, signal) = match status {
        Ok(status) => (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)),
        Err(_) => (None, None),
    };
    Ok(Exit { code, signal, timed_out, truncated: out.truncated || err.truncated, stdout: out.text, stderr: err.text })
}

fn start(command: &Command, without: &[String]) -> Result<Child, String> {
    let program = command.argv.first().ok_or("the command is empty")?;
    let mut starting = Starting::new(program);
    for name in without {
        starting.env_remove(name);
    }
    starting
        .args(&command.argv[1..])
        .envs(&command.env)
        .env(MARK, &command.ticket)
        .stdin(if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(dir) = &command.cwd {
        if !Path::new(dir).is_dir() {
            return Err(format!("cannot start `{program}`: the directory {dir} is not there"));
        }
        starting.current_dir(dir);
    }
    starting.spawn().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => format!("cannot start `{program}`: there is no such program, or not the interpreter that it names"),
        io::ErrorKind::PermissionDenied => format!("cannot start `{program}`: it may not be executed"),
        _ => format!("cannot start `{program}`: {e}"),
    })
}

/// Waits for its end; makes it end when its time is up, with all of its group.
async fn wait(child: &mut Child, group: Pid, limit: Option<Duration>) -> (io::Result<ExitStatus>, bool) {
    let Some(limit) = limit else {
        return (child.wait().await, false);
    };
    if let Ok(status) = timeout(limit, child.wait()).await {
        return (status, false);
    }
    // It may end in this very moment; then there is nobody to signal.
    let _ = kill_process_group(group, Signal::TERM);
    let _ = timeout(GRACE, async {
        let _ = child.wait().await;
        while test_kill_process_group(group).is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let _ = kill_process_group(group, Signal::KILL);
    (child.wait().await, true)
}

/// What is kept of one output.
#[derive(Default)]
struct Kept {
    text: String,
    truncated: bool,
}

async fn kept(reading: Option<tokio::task::JoinHandle<Kept>>) -> Kept {
    match reading {
        // A task that was cut short did not see all of it.
        Some(reading) => reading.await.unwrap_or(Kept { truncated: true, ..Kept::default() }),
        None => Kept::default(),
    }
}

/// Reads until the end, or until told to stop; then somebody else still holds the pipe, and what it says later is
/// read and dropped, so that it does not die of a closed pipe.
async fn keep(
    mut pipe: impl AsyncRead + Unpin + Send + 'static,
    striker: Arc<Striker>,
    limit: usize,
    mut stopped: watch::Receiver<()>,
) -> Kept {
    let mut ends = Ends::new(limit);
    let mut stream: Stream<'_> = striker.stream();
    let mut chunk = vec![0; 1 << 16];
    let whole = loop {
        tokio::select! {
            biased;
            read = pipe.read(&mut chunk) => match read {
                Ok(0) => break true,
                Ok(n) => ends.push(&stream.push(&chunk[..n])),
                Err(_) => break false,
            },
            _ = stopped.changed() => break false,
        }
    };
    ends.push(&stream.end());
    if !whole {
        tokio::spawn(async move { while pipe.read(&mut chunk).await.is_ok_and(|n| n > 0) {} });
    }
    let mut kept = ends.kept();
    kept.truncated |= !whole;
    kept
}

/// The first half and the last half of what is kept; what stood between is counted.
struct Ends {
    half: usize,
    first: Vec<u8>,
    last: VecDeque<u8>,
    dropped: u64,
}

impl Ends {
    fn new(limit: usize) -> Self {
        Ends { half: limit / 2, first: Vec::new(), last: VecDeque::new(), dropped: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(self.half - self.first.len()));
        self.first.extend_from_slice(first);
        self.last.extend(rest);
        let over = self.last.len().saturating_sub(self.half);
        self.last.drain(..over);
        self.dropped += over as u64;
    }

    fn kept(mut self) -> Kept {
        let last = self.last.make_contiguous();
        if self.dropped == 0 {
            self.first.extend_from_slice(last);
            return Kept { text: String::from_utf8_lossy(&self.first).into_owned(), truncated: false };
        }
        let (first, last) = (String::from_utf8_lossy(&self.first), String::from_utf8_lossy(last));
        Kept { text: format!("{first}\n[{} bytes left out]\n{last}", self.dropped), truncated: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_long_output_are_kept_and_the_rest_is_counted() {
        let mut ends = Ends::new(8);
        for chunk in ["ab", "cde", "fghijkl", "m"] {
            ends.push(chunk.as_bytes());
        }
        let kept = ends.kept();
        assert_eq!((kept.text.as_str(), kept.truncated), ("abcd\n[5 bytes left out]\njklm", true));
        let mut ends = Ends::new(8);
        ends.push(b"abcdefgh");
        let kept = ends.kept();
        assert_eq!((kept.text.as_str(), kept.truncated), ("abcdefgh", false));
    }
}
