//! Commands, as a driver sees them: asked of the run's supervisor, awaited, and found again by a later driver. It does
//! not start any itself.

use std::collections::{BTreeSet, HashMap};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::blocking;
use super::child;
use super::clock::since_boot;
use super::exits::{End, Exits};
use super::secrets::Known;
use super::supervisor::{Request, Said};
use crate::world::{Answer, Command, Exit, Fault, Found, Process};

/// An effect that has not begun this long after it was asked for needs a new intent.
const TOO_LATE: Duration = Duration::from_secs(2);
/// How long a new supervisor may take until it is ready.
const READY: Duration = Duration::from_secs(10);

/// Variables that hold, or may hold, secrets of this program itself: the journal's address and its password.
const OWN: [&str; 3] = ["DRPLAN_JOURNAL", "DRPLAN_SMTP_PASSWORD", "PGPASSWORD"];

/// This machine's processes.
pub(super) struct Real {
    /// Where exits are left.
    pub(super) state: PathBuf,
    /// The run's name: what other runs began left its exits beside `state`.
    pub(super) run: Option<String>,
    /// Where a command runs that names no directory.
    pub(super) plan_dir: PathBuf,
    /// The program whose `supervise` is started.
    pub(super) program: PathBuf,
    pub(super) supervisor: Mutex<Option<Supervisor>>,
    /// Variables that neither the supervisor nor its commands inherit.
    pub(super) hidden: std::sync::Mutex<BTreeSet<String>>,
    /// What no command may be heard to say, whoever was given it.
    pub(super) known: Known,
}

/// The group of a process that only looks: it is ended when nobody waits for it any more.
struct Looking(Option<Pid>);

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// A supervisor that this driver started; it ends by itself when this is dropped and its commands are done.
pub(super) struct Supervisor {
    /// To the task that writes: whole lines, whoever gives up waiting.
    requests: mpsc::UnboundedSender<Vec<u8>>,
    /// Who waits for which ticket; none once the supervisor is gone.
    waiting: Waiting,
}

type Waiting = Arc<std::sync::Mutex<Option<HashMap<String, oneshot::Sender<End>>>>>;

#[async_trait]
impl Process for Real {
    async fn run(&self, command: &Command) -> Answer<Exit> {
        let not_after = command.begin_by.unwrap_or_else(|| since_boot() + TOO_LATE);
        let not_after_ms = u64::try_from(not_after.as_millis()).unwrap_or(u64::MAX);
        let end = self.send(Request { command: self.whole(command)?, not_after_ms }).await?;
        match end.await {
            Ok(End::Ended(exit)) => Ok(exit),
            Ok(End::NotStarted(why)) => Err(Fault::refused(why)),
            Err(_) => Err(Fault::lost("the supervisor of commands ended; the command may still run")),
        }
    }

    async fn ask(&self, command: &Command) -> Answer<Exit> {
        let command = Command { ticket: String::new(), ..self.whole(command)? };
        let without: Vec<String> = OWN.into_iter().map(str::to_owned).chain(self.hidden().iter().cloned()).collect();
        let mut looking = Looking(None);
        let ended = child::run(&command, &without, |group| looking.0 = Some(group)).await;
        looking.0 = None;
        ended.map_err(Fault::refused)
    }

    async fn find(&self, ticket: &str) -> Answer<Found> {
        let (state, ticket) = (self.left_by(ticket), ticket.to_owned());
        blocking(move || {
            let Some(exits) = Exits::existing(&state) else {
                let why = format!("{} is not on this machine: the run's commands left their ends elsewhere", state.display());
                return Ok(Found::Unknown { why, gone: false });
            };
            exits
                .find(&ticket)
                .map_err(|e| Fault::refused(format!("what became of the command cannot be read in {}: {e}", state.display())))
        })
        .await
    }

    fn which(&self, program: &str) -> Option<String> {
        let executable = |path: &Path| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
        let candidates: Vec<PathBuf> = if program.contains('/') {
            vec![self.plan_dir.join(program)]
        } else {
            std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).collect()
        };
        candidates.into_iter().find(|p| executable(p)).map(|p| p.to_string_lossy().into_owned())
    }

    fn hide(&self, variables: &[String]) {
        self.hidden().extend(variables.iter().cloned());
    }
}

impl Real {
    /// Where whoever began a ticket left its exit: `RUN/…` names the run.
    fn left_by(&self, ticket: &str) -> PathBuf {
        match (&self.run, ticket.split('/').next()) {
            (Some(own), Some(other)) if other != own => self.state.with_file_name(other),
            _ => self.state.clone(),
        }
    }

    /// A set that a panic left behind is still a set.
    fn hidden(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.hidden.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The command with nothing left that means something else elsewhere.
    fn whole(&self, command: &Command) -> Answer<Command> {
        let mut command = command.clone();
        if command.argv.iter().any(|word| command.secrets.iter().any(|s| !s.is_empty() && word.contains(s.as_str()))) {
            return Err(Fault::refused(
                "a secret stands among the command's arguments, where every process could read it: give it by `env` or `stdin`",
            ));
        }
        // Who was not given a secret may find it all the same, and say it.
        command.secrets.extend(self.known.all());
        let dir = std::path::absolute(self.plan_dir.join(command.cwd.as_deref().unwrap_or("")))
            .map_err(|e| Fault::refused(format!("no working directory: {e}")))?;
        if let Some(program) = command.argv.first_mut().filter(|p| p.contains('/')) {
            *program = dir.join(&*program).to_string_lossy().into_owned();
        }
        command.cwd = Some(dir.to_string_lossy().into_owned());
        Ok(command)
    }

    /// Hands a request to the supervisor, which is started if there is none; gives where the answer will come.
    async fn send(&self, request: Request) -> Answer<oneshot::Receiver<End>> {
        let mut line = serde_json::to_vec(&request).map_err(|e| Fault::refused(format!("the command cannot be asked for: {e}")))?;
        line.push(b'\n');
        let mut slot = self.supervisor.lock().await;
        let supervisor = match slot.take() {
            Some(supervisor) if !supervisor.gone() => supervisor,
            _ => self.start().await.map_err(|e| Fault::refused(format!("the supervisor of commands could not be started: {e}")))?,
        };
        slot.insert(supervisor).ask(&request.command.ticket, line)
    }

    async fn start(&self) -> io::Result<Supervisor> {
        Exits::open(&self.state)?;
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(self.state.join("supervisor.log"))?;
        let mut starting = tokio::process::Command::new(&self.program);
        for name in OWN.into_iter().chain(self.hidden().iter().map(String::as_str)) {
            starting.env_remove(name);
        }
        let mut child = starting
            .arg0("drplan")
            .arg("supervise")
            .arg(&self.state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(false)
            .spawn()?;
        let (Some(stdin), Some(said)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let mut said = BufReader::new(said).lines();
        let first = tokio::time::timeout(READY, said.next_line()).await.map_err(|_| io::Error::other("it is not ready"))??;
        match first.as_deref().map(serde_json::from_str) {
            Some(Ok(Said::Ready)) => {}
            _ => return Err(io::Error::other(format!("it ended at once; see {}", self.state.join("supervisor.log").display()))),
        }
        let waiting: Waiting = Arc::new(std::sync::Mutex::new(Some(HashMap::new())));
        let (requests, lines) = mpsc::unbounded_channel();
        tokio::spawn(write(stdin, lines));
        tokio::spawn(listen(said, waiting.clone()));
        Ok(Supervisor { requests, waiting })
    }
}

impl Supervisor {
    fn gone(&self) -> bool {
        lock(&self.waiting).is_none()
    }

    fn ask(&self, ticket: &str, line: Vec<u8>) -> Answer<oneshot::Receiver<End>> {
        let refused = || Fault::refused("the supervisor of commands ended before it was asked");
        let (tell, told) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        let waiting = waiting.as_mut().ok_or_else(refused)?;
        if waiting.contains_key(ticket) {
            return Err(Fault::refused(format!("{ticket} runs already")));
        }
        self.requests.send(line).map_err(|_| refused())?;
        waiting.insert(ticket.to_owned(), tell);
        Ok(told)
    }
}

/// Writes requests until there are no more, and closes the pipe, or until nobody reads them.
async fn write(mut to: ChildStdin, mut lines: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if to.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Passes on what the supervisor says, until it says no more; who still waits then learns that it is gone.
async fn listen(mut said: tokio::io::Lines<BufReader<ChildStdout>>, waiting: Waiting) {
    while let Ok(Some(line)) = said.next_line().await {
        let Ok(Said::End { ticket, end }) = serde_json::from_str(&line) else {
            continue;
        };
        if let Some(tell) = lock(&waiting).as_mut().and_then(|waiting| waiting.remove(&ticket)) {
            // Nobody waits for it any more; it stands on the disk.
            let _ = tell.send(end);
        }
    }
    *lock(&waiting) = None;
}

/// A map that a panic left behind is still a map.
fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, Option<HashMap<String, oneshot::Sender<End>>>> {
    waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
