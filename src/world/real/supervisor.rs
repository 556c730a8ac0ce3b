//! The supervisor: a process of its own that starts a run's commands, outlives their driver, and leaves how each one
//! ended on the disk. It does not know plans, steps or runs, and gets every command, its environment and its secrets
//! through its standard input only, so that no list of processes shows them.
//!
//! For each request: it claims the ticket, sees that it is not too late, starts the command in a group of its own, keeps
//! what it says without the secrets, ends it when its time is up, writes its end to the file beside the journal and only
//! then tells the driver; what must be on the disk by then, and what need not, `exits.rs` says. When the driver is gone it
//! starts nothing more, waits for what runs, and ends. It has a session of its own: no terminal's hang-up or Ctrl-C
//! reaches it or its commands.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Pid, setsid};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::alive::{boot_id, machine_id, process};
use super::child;
use super::clock::since_boot;
use super::exits::{self, End, Exits, Log, SOON};
use crate::world::Command;

/// How long the driver is still told what became of its commands when it reads no more.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the driver sends, one line each.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    /// The command; its program and directory are as the driver sees them.
    pub(super) command: Command,
    /// By the boot's clock, in milliseconds: later than this it must not start.
    pub(super) not_after_ms: u64,
}

/// What the supervisor says, one line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// It holds its lock and takes requests.
    Ready,
    /// What became of a command; it is on the disk.
    End {
        /// Which.
        ticket: String,
        /// How.
        end: End,
    },
}

/// What the hidden entry `drplan supervise DIR` does; `args` is what stands after `supervise`. Standard input and
/// output are pipes from and to the driver.
pub fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let (Some(dir), None) = (args.next(), args.next()) else {
        return ExitCode::from(2);
    };
    // It fails only for the leader of a group, who has no terminal to lose that its driver has.
    let _ = setsid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(serve(Path::new(&dir)))) {
        Ok(()) => ExitCode::SUCCESS,
        // There is nobody to tell: the driver sees the pipe close, a later one the lock.
        Err(_) => ExitCode::FAILURE,
    }
}

async fn serve(dir: &Path) -> io::Result<()> {
    deaf()?;
    let exits = Exits::open(dir)?;
    let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let me = process(pid)?.ok_or_else(|| io::Error::other("no process of this number"))?;
    let (machine, boot) = (machine_id()?, boot_id()?);
    // Two boots may give the same number and start.
    let name = format!("supervisor-{}-{}-{}.lock", me.pid, me.start, boot.split('-').next().unwrap_or_default());
    let held = exits.lock(&name)?;
    let me = exits::Supervisor { name: name.clone(), machine, boot };
    let desk = Arc::new(Desk { name: name.clone(), log: Mutex::new(Log::begin(dir, &me)?), ended: Notify::new() });
    let syncing = tokio::spawn(sync(desk.clone()));

    let requests = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    let (say, said) = mpsc::unbounded_channel();
    let telling = tokio::spawn(tell(io::stdout().as_fd().try_clone_to_owned()?, said));
    // The receiving end lives as long as the task; a driver that is gone is no reason to stop.
    let _ = say.send(Said::Ready);

    let mut running = JoinSet::new();
    let mut lines = BufReader::new(requests).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(Request { command, not_after_ms }) = serde_json::from_str(&line) else {
            break;
        };
        while running.try_join_next().is_some() {}
        let (desk, say) = (desk.clone(), say.clone());
        running.spawn(async move {
            let ticket = command.ticket.clone();
            let end = carry_out(&desk, command, not_after_ms).await;
            let _ = say.send(Said::End { ticket, end });
        });
    }
    while running.join_next().await.is_some() {}
    syncing.abort();
    let _ = synced(&desk).await;
    drop(say);
    // Not longer than a driver that does not read takes to go: all is on the disk.
    let _ = timeout(LAST_WORDS, telling).await;
    exits.unlock(&name)?;
    drop(held);
    Ok(())
}

/// Catches the signals that a terminal or a shutdown sends, and lets them pass. Commands get them as ever.
fn deaf() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()] {
        // Once caught, a signal keeps being caught, whether somebody listens or not.
        drop(signal(kind)?);
    }
    Ok(())
}

async fn tell(to: OwnedFd, mut said: mpsc::UnboundedReceiver<Said>) {
    let Ok(mut to) = pipe::Sender::from_owned_fd(to) else {
        return;
    };
    while let Some(what) = said.recv().await {
        let Ok(mut line) = serde_json::to_vec(&what) else {
            continue;
        };
        line.push(b'\n');
        if to.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Where it is written down what becomes of commands. A write goes to the kernel's memory, and is not worth a thread.
struct Desk {
    /// This supervisor's.
    name: String,
    log: Mutex<Log>,
    ended: Notify,
}

impl Desk {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no holder of this lock panics")
    }
}

/// Brings ends to the disk, many at once, each within [`SOON`].
async fn sync(desk: Arc<Desk>) {
    loop {
        desk.ended.notified().await;
        sleep(SOON / 2).await;
        // Where the disk refuses, the driver still heard it; a later one finds that nobody can tell.
        let _ = synced(&desk).await;
    }
}

/// Brings all that was written so far to the disk.
async fn synced(desk: &Desk) -> io::Result<()> {
    let file = desk.log().to_sync()?;
    tokio::task::spawn_blocking(move || file.sync_data()).await.map_err(io::Error::other)?
}

async fn carry_out(desk: &Desk, command: Command, not_after_ms: u64) -> End {
    let ticket = command.ticket.clone();
    match desk.log().claim(&ticket, Some(&desk.name)) {
        Err(e) => return End::NotStarted(format!("its start could not be written to the disk, so it was not started: {e}")),
        Ok(false) => return End::NotStarted("another driver took it over before it was started".to_owned()),
        Ok(true) => {}
    }
    if let Err(e) = synced(desk).await {
        return End::NotStarted(format!("its start could not be synced to the disk, so it was not started: {e}"));
    }
    let end = if since_boot().as_millis() > u128::from(not_after_ms) {
        End::NotStarted("it was too late to start it".to_owned())
    } else {
        run(desk, command).await
    };
    // As above: a later driver finds that nobody can tell.
    let _ = desk.log().ended(&ticket, &end);
    desk.ended.notify_one();
    end
}

async fn run(desk: &Desk, command: Command) -> End {
    let began = |group: Pid| {
        if let Ok(Some(started)) = process(group.as_raw_nonzero().get()) {
            // Without it a later driver cannot tell whether the command is gone, and says so.
            let _ = desk.log().runs(&command.ticket, started);
        }
    };
    match child::run(&command, &[], began).await {
        Ok(exit) => End::Ended(exit),
        Err(why) => End::NotStarted(why),
    }
}
