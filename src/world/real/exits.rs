//! The files by which a driver, its supervisor and a later driver know of each other's commands: for each ticket one
//! that says that it was claimed, one that says as which process it runs, one that says how it ended. It does not
//! know what the commands do, and starts none.
//!
//! A claim is made by linking a synced file to a name that must be free, so that of a supervisor about to start a
//! command and a later driver about to call it never started exactly one succeeds, whoever was stopped in between.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{hex, parent, sync_dir, temporary_beside};
use crate::world::{Exit, Found};

/// The variable that marks a command and all that it starts.
pub(super) const MARK: &str = "DRPLAN_TICKET";

/// A directory of such files.
#[derive(Debug, Clone)]
pub(super) struct Exits {
    dir: PathBuf,
}

/// Who may act on a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Claim {
    /// A supervisor starts it.
    Supervisor {
        /// The machine.
        machine: String,
        /// The boot of it.
        boot: String,
        /// The lock that the supervisor holds as long as it lives.
        lock: String,
    },
    /// Nobody ever: a later driver took it for never started.
    NoOne,
}

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    /// Its number, also that of its group.
    pub(super) pid: i32,
    /// Its start, in clock ticks since this boot.
    pub(super) start: u64,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// It ran and ended.
    Ended(Exit),
    /// It was not started, and why.
    NotStarted(String),
}

impl Exits {
    /// The directory, made if it is not there; only its owner sees into it.
    pub(super) fn open(dir: &Path) -> io::Result<Exits> {
        make(dir)?;
        Ok(Exits { dir: dir.to_owned() })
    }

    /// The directory if it is there. One that is missing says nothing: of a run of this machine it was there before
    /// the first command was.
    pub(super) fn existing(dir: &Path) -> Option<Exits> {
        dir.is_dir().then(|| Exits { dir: dir.to_owned() })
    }

    /// Claims a ticket; false if somebody did before. On the disk when this returns.
    pub(super) fn claim(&self, ticket: &str, claim: &Claim) -> io::Result<bool> {
        let name = self.path(ticket, "started");
        let temporary = written(&name, claim)?;
        let linked = fs::hard_link(&temporary, &name);
        fs::remove_file(&temporary)?;
        match linked {
            Ok(()) => sync_dir(&self.dir).map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Writes down as which process it runs. Not synced: what a power cut takes away, the boot tells as well, and of a
    /// supervisor that dies before this is written nobody can tell whether its command is gone.
    pub(super) fn runs(&self, ticket: &str, process: Started) -> io::Result<()> {
        let name = self.path(ticket, "process");
        let temporary = temporary_beside(&name);
        fs::write(&temporary, serde_json::to_vec(&process)?)?;
        fs::rename(temporary, name)
    }

    /// Writes down how it ended. On the disk when this returns.
    pub(super) fn ended(&self, ticket: &str, end: &End) -> io::Result<()> {
        let name = self.path(ticket, "ended");
        fs::rename(written(&name, end)?, &name)?;
        sync_dir(&self.dir)
    }

    /// Takes the lock of a supervisor, for as long as the file given back is open.
    pub(super) fn lock(&self, name: &str) -> io::Result<File> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.dir.join(name))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// Removes the lock of a supervisor that has nothing more to do.
    pub(super) fn unlock(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    /// What is known of a ticket whose driver is gone. If nobody claimed it, nobody can any more.
    pub(super) fn find(&self, ticket: &str) -> io::Result<Found> {
        if let Some(end) = self.get(ticket, "ended")? {
            return Ok(found(end));
        }
        let unclaimed = self.get::<Claim>(ticket, "started")?.is_none();
        if unclaimed && self.claim(ticket, &Claim::NoOne)? {
            return Ok(Found::NeverStarted);
        }
        let claim = self.get(ticket, "started")?.ok_or_else(|| io::Error::other("a claim vanished while it was read"))?;
        let Claim::Supervisor { machine, boot, lock } = claim else {
            return Ok(Found::NeverStarted);
        };
        if machine != machine_id()? {
            return Ok(unknown(format!("it was started on another machine ({machine})"), false));
        }
        if boot != boot_id()? {
            return Ok(unknown("the machine was started anew while it ran".to_owned(), true));
        }
        if self.held(&lock)? {
            return Ok(Found::Running);
        }
        // Its last act may have been to write this.
        if let Some(end) = self.get(ticket, "ended")? {
            return Ok(found(end));
        }
        let Some(process) = self.get::<Started>(ticket, "process")? else {
            return Ok(unknown("its supervisor ended in the moment of starting it".to_owned(), false));
        };
        let gone = !alive(ticket, process)?;
        let why = if gone { "the command is gone too" } else { "the command itself still runs" };
        Ok(unknown(format!("its supervisor ended before it (process {}); {why}, its exit code is lost", process.pid), gone))
    }

    fn held(&self, lock: &str) -> io::Result<bool> {
        let file = match File::open(self.dir.join(lock)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    fn get<T: DeserializeOwned>(&self, ticket: &str, what: &str) -> io::Result<Option<T>> {
        let name = self.path(ticket, what);
        match fs::read(&name) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| io::Error::other(format!("{}: {e}", name.display()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn path(&self, ticket: &str, what: &str) -> PathBuf {
        self.dir.join(format!("{}.{what}.json", escaped(ticket)))
    }
}

/// Makes a directory and what it stands in. A claim in it outlasts a power cut only if its own name does.
pub(super) fn make(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let outer = parent(dir);
    make(outer)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => sync_dir(outer),
    }
}

/// Writes a value to a synced file beside `name`; gives its path.
fn written(name: &Path, value: &impl Serialize) -> io::Result<PathBuf> {
    let temporary = temporary_beside(name);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    Ok(temporary)
}

/// A ticket as a file name: two tickets never give the same, and a long one keeps its beginning.
fn escaped(ticket: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let name: String = ticket.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    if name.len() <= 180 { name } else { format!("{}~{}", &name[..100], hex(&Sha256::digest(ticket.as_bytes()))) }
}

fn found(end: End) -> Found {
    match end {
        End::Ended(exit) => Found::Ended(exit),
        End::NotStarted(_) => Found::NeverStarted,
    }
}

fn unknown(why: String, gone: bool) -> Found {
    Found::Unknown { why, gone }
}

/// The boot of this machine.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// This machine; its name where it has no number.
pub(super) fn machine_id() -> io::Result<String> {
    let name = super::host_name();
    match fs::read_to_string("/etc/machine-id") {
        Ok(id) => Ok(format!("{name} {}", id.trim())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(name),
        Err(e) => Err(e),
    }
}

/// A process by its number, as it stands now; none if there is none.
pub(super) fn process(pid: i32) -> io::Result<Option<Started>> {
    Ok(stat(pid)?.map(|s| Started { pid, start: s.start }))
}

struct Stat {
    zombie: bool,
    group: i32,
    start: u64,
}

fn stat(pid: i32) -> io::Result<Option<Stat>> {
    let text = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        // The second: it ended while its file was read.
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(3) => return Ok(None),
        Err(e) => return Err(e),
    };
    // The name in brackets may hold anything, brackets and spaces too.
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let (Some(&state), Some(group), Some(start)) =
        (fields.first(), fields.get(2).and_then(|f| f.parse().ok()), fields.get(19).and_then(|f| f.parse().ok()))
    else {
        return Err(io::Error::other(format!("/proc/{pid}/stat is not as expected")));
    };
    Ok(Some(Stat { zombie: matches!(state, "Z" | "X"), group, start }))
}

/// Whether anything of a command is left: itself, its group, or what carries its mark.
fn alive(ticket: &str, process: Started) -> io::Result<bool> {
    // A number is not given again while a group has it: if it is another process's by now, the group is gone.
    let reused = stat(process.pid)?.is_some_and(|s| s.start != process.start);
    let mark = format!("{MARK}={ticket}");
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Some(stat) = stat(pid)?.filter(|s| !s.zombie) else {
            continue;
        };
        if stat.group == process.pid && !reused {
            return Ok(true);
        }
        // Other people's processes cannot be read, and are not ours.
        let marked = fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.split(|&b| b == 0).any(|v| v == mark.as_bytes()));
        if marked {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exits() -> (tempfile::TempDir, Exits) {
        let dir = tempfile::tempdir().unwrap();
        let exits = Exits::open(&dir.path().join("run")).unwrap();
        (dir, exits)
    }

    fn claim(boot: &str, machine: &str) -> Claim {
        Claim::Supervisor { machine: machine.to_owned(), boot: boot.to_owned(), lock: "supervisor-1.lock".to_owned() }
    }

    fn here() -> Claim {
        claim(&boot_id().unwrap(), &machine_id().unwrap())
    }

    #[test]
    fn what_nobody_claimed_was_never_started_and_never_will_be() {
        let (_dir, exits) = exits();
        assert_eq!(exits.find("r/a/1").unwrap(), Found::NeverStarted);
        assert!(!exits.claim("r/a/1", &here()).unwrap());
        assert_eq!(exits.find("r/a/1").unwrap(), Found::NeverStarted);
        assert!(exits.claim("r/a/2", &here()).unwrap());
        assert!(!exits.claim("r/a/2", &here()).unwrap());
    }

    #[test]
    fn another_boot_closes_and_another_machine_does_not() {
        let (_dir, exits) = exits();
        exits.claim("boot", &claim("an earlier one", &machine_id().unwrap())).unwrap();
        exits.claim("machine", &claim(&boot_id().unwrap(), "another")).unwrap();
        assert!(matches!(exits.find("boot").unwrap(), Found::Unknown { gone: true, .. }));
        assert!(matches!(exits.find("machine").unwrap(), Found::Unknown { gone: false, .. }));
    }

    #[test]
    fn it_runs_while_its_supervisor_lives_and_is_unknown_after() {
        let (_dir, exits) = exits();
        exits.claim("t", &here()).unwrap();
        let lock = exits.lock("supervisor-1.lock").unwrap();
        assert_eq!(exits.find("t").unwrap(), Found::Running);
        drop(lock);
        assert!(matches!(exits.find("t").unwrap(), Found::Unknown { gone: false, .. }));
        let me = process(i32::try_from(std::process::id()).unwrap()).unwrap().unwrap();
        exits.runs("t", Started { start: me.start + 1, ..me }).unwrap();
        assert!(matches!(exits.find("t").unwrap(), Found::Unknown { gone: true, .. }));
        exits.ended("t", &End::Ended(Exit { code: Some(3), ..Exit::default() })).unwrap();
        assert!(matches!(exits.find("t").unwrap(), Found::Ended(Exit { code: Some(3), .. })));
        exits.ended("u", &End::NotStarted("no such program".to_owned())).unwrap();
        assert_eq!(exits.find("u").unwrap(), Found::NeverStarted);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_an_answer() {
        let (dir, exits) = exits();
        fs::write(dir.path().join("run/t.started.json"), "{").unwrap();
        assert!(exits.find("t").is_err());
    }

    #[test]
    fn tickets_give_names_of_their_own() {
        let long = "x".repeat(300);
        let names = ["a/b", "a%2Fb", "a-b", "../../etc", &long, &format!("{long}y")].map(escaped);
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.iter().all(|n| n.len() < 200 && !n.contains(['/', '.'])), "{names:?}");
    }
}
