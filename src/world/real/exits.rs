//! The file by which a driver, its supervisor and a later driver know of each other's commands: that one was claimed, as
//! which process it runs, how it ended. It does not know what the commands do, and starts none.
//!
//! The file only grows, by one write a record. A claim is good if it is the first of its ticket in the file: who writes one
//! looks at what came before it. So of a supervisor about to start a command and a later driver about to call it never
//! started exactly one succeeds, whoever was stopped in between; nobody waits for anybody.
//!
//! What is synced, and when:
//!
//! - That a supervisor begins, in which boot: before it takes its first request.
//! - A claim: before its command starts. A disk may break and lose what it was not yet made to keep, in the same boot; a
//!   command that was started must not look never started then.
//! - As which process it runs is not. After a power cut no process is left to be asked for: in another boot than the
//!   supervisor's, a ticket without an end is unknown and gone, claimed or not.
//! - An end is told to the driver at once and synced within [`SOON`]. The driver that hears it writes it to the journal,
//!   which is synced before anything stands on it; if it is dead, or dies of it, the end is in this file. Only a power cut
//!   that also takes the driver, within that time, loses an end, and then the command is unknown and gone, as it would be
//!   had the cut come before its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::alive::{Started, alive, boot_id, machine_id};
use super::{parent, sync_dir};
use crate::world::{Exit, Found};

/// How long after it was written an end is synced at the latest.
pub(super) const SOON: Duration = Duration::from_millis(100);

/// A directory with such a file.
#[derive(Debug, Clone)]
pub(super) struct Exits {
    dir: PathBuf,
}

/// A supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Supervisor {
    /// The lock that it holds as long as it lives.
    pub(super) name: String,
    /// The machine.
    pub(super) machine: String,
    /// The boot of it.
    pub(super) boot: String,
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

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    /// One begins to take requests.
    Supervisor(Supervisor),
    /// Only this supervisor may start it; none: nobody ever, a later driver took it for never started.
    Claimed { ticket: String, by: Option<String> },
    /// It runs.
    Runs { ticket: String, process: Started },
    /// It does not run any more.
    Ended { ticket: String, end: End },
}

/// How the lines of claims, processes and ends begin; the ticket follows.
const KINDS: [&str; 3] = ["{\"claimed\":{\"ticket\":", "{\"runs\":{\"ticket\":", "{\"ended\":{\"ticket\":"];

/// What the file says of one ticket.
#[derive(Default)]
struct Known {
    supervisors: BTreeMap<String, Supervisor>,
    claim: Option<Option<String>>,
    process: Option<Started>,
    end: Option<End>,
    /// A line that is no record, or not a whole one.
    broken: bool,
}

impl Known {
    /// Takes in a line, if it is about this ticket or a supervisor; of others it is enough that they are whole.
    fn take(&mut self, line: &[u8], mine: &[String]) {
        let whole = line.ends_with(b"}}\n");
        if !line.starts_with(b"{\"supervisor\":") && !mine.iter().any(|begin| line.starts_with(begin.as_bytes())) {
            let another = whole && KINDS.iter().any(|kind| line.starts_with(kind.as_bytes()));
            self.broken |= !another && line != b"\n";
            return;
        }
        match serde_json::from_slice(line) {
            Ok(Record::Supervisor(one)) if whole => drop(self.supervisors.insert(one.name.clone(), one)),
            Ok(Record::Claimed { by, .. }) if whole => drop(self.claim.get_or_insert(by)),
            Ok(Record::Runs { process, .. }) if whole => self.process = Some(process),
            Ok(Record::Ended { end, .. }) if whole => self.end = Some(end),
            _ => self.broken = true,
        }
    }
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
        let mut known = self.read(ticket)?;
        if known.claim.is_none() && known.end.is_none() {
            if known.broken {
                return Err(io::Error::other("its lines are damaged, and one of them may have been about this command"));
            }
            let (machine, boot) = (machine_id()?, boot_id()?);
            if let Some(other) = known.supervisors.values().find(|s| s.machine != machine) {
                return Ok(unknown(format!("it may have been started on another machine ({})", other.machine), false));
            }
            if known.supervisors.values().any(|s| s.boot != boot) {
                let why = "the machine was started anew since its run began, and whether the command was started is lost";
                return Ok(unknown(why.to_owned(), true));
            }
            if Log::open(&self.dir)?.claim(ticket, None)? {
                return Ok(Found::NeverStarted);
            }
            known = self.read(ticket)?;
        }
        if let Some(end) = known.end {
            return Ok(found(end));
        }
        let claim = known.claim.ok_or_else(|| io::Error::other("a claim vanished while it was read"))?;
        let Some(name) = claim else { return Ok(Found::NeverStarted) };
        let by = known.supervisors.get(&name).ok_or_else(|| io::Error::other(format!("nothing is known of {name}, which claimed it")))?;
        if by.machine != machine_id()? {
            return Ok(unknown(format!("it was started on another machine ({})", by.machine), false));
        }
        if by.boot != boot_id()? {
            return Ok(unknown("the machine was started anew while it ran".to_owned(), true));
        }
        if self.held(&name)? {
            return Ok(Found::Running);
        }
        // Its last act may have been to write this.
        let known = self.read(ticket)?;
        if let Some(end) = known.end {
            return Ok(found(end));
        }
        let Some(process) = known.process else {
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

    /// What all lines say of a ticket; the lines of others are seen to be whole, and not read.
    fn read(&self, ticket: &str) -> io::Result<Known> {
        let mut known = Known::default();
        let file = match File::open(path(&self.dir)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(known),
            Err(e) => return Err(e),
        };
        let mine = KINDS.map(|kind| format!("{kind}{},", serde_json::Value::from(ticket)));
        let mut lines = BufReader::with_capacity(1 << 16, file);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            known.take(&line, &mine);
            line.clear();
        }
        Ok(known)
    }
}

/// The file, for writing to its end.
pub(super) struct Log {
    file: File,
    /// As far as this is known, whoever wrote it.
    seen: u64,
    /// Tickets that were claimed up to there.
    claimed: BTreeSet<String>,
    /// The last line is not whole: a new one begins.
    torn: bool,
}

impl Log {
    fn open(dir: &Path) -> io::Result<Log> {
        let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path(dir))?;
        let mut log = Log { file, seen: 0, claimed: BTreeSet::new(), torn: false };
        log.see(log.file.metadata()?.len())?;
        Ok(log)
    }

    /// For a supervisor that begins. That it does is on the disk when this returns.
    pub(super) fn begin(dir: &Path, supervisor: &Supervisor) -> io::Result<Log> {
        let mut log = Log::open(dir)?;
        log.append(&Record::Supervisor(supervisor.clone()))?;
        log.file.sync_all()?;
        sync_dir(dir)?;
        Ok(log)
    }

    /// Claims a ticket; false if somebody did before.
    pub(super) fn claim(&mut self, ticket: &str, by: Option<&str>) -> io::Result<bool> {
        if self.claimed.contains(ticket) {
            return Ok(false);
        }
        self.append(&Record::Claimed { ticket: ticket.to_owned(), by: by.map(str::to_owned) })?;
        Ok(self.claimed.insert(ticket.to_owned()))
    }

    /// Writes down as which process it runs.
    pub(super) fn runs(&mut self, ticket: &str, process: Started) -> io::Result<()> {
        self.append(&Record::Runs { ticket: ticket.to_owned(), process })
    }

    /// Writes down how it ended.
    pub(super) fn ended(&mut self, ticket: &str, end: &End) -> io::Result<()> {
        self.append(&Record::Ended { ticket: ticket.to_owned(), end: end.clone() })
    }

    /// The file once more, to be synced while others write.
    pub(super) fn to_sync(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// One record by one write, and a look at what others wrote before it.
    fn append(&mut self, record: &Record) -> io::Result<()> {
        let mut line = if self.torn { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut line, record)?;
        line.push(b'\n');
        let written = loop {
            match self.file.write(&line) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => break done?,
            }
        };
        let end = self.file.stream_position()?;
        self.see(end - written as u64)?;
        self.seen = end;
        self.torn = written < line.len();
        if self.torn { Err(io::Error::new(io::ErrorKind::WriteZero, "the disk took only a part of it")) } else { Ok(()) }
    }

    /// Takes in what others claimed up to here.
    fn see(&mut self, end: u64) -> io::Result<()> {
        let mut lines = BufReader::new(Part { file: &self.file, at: self.seen, end });
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            if line.starts_with(KINDS[0].as_bytes())
                && line.ends_with(b"}}\n")
                && let Record::Claimed { ticket, .. } = serde_json::from_slice(&line)?
            {
                self.claimed.insert(ticket);
            }
            self.torn = !line.ends_with(b"\n");
            line.clear();
        }
        self.seen = end;
        Ok(())
    }
}

/// A part of a file, read without moving it.
struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl io::Read for Part<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.end - self.at).map_or(into.len(), |left| left.min(into.len()));
        let read = self.file.read_at(&mut into[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("commands.jsonl")
}

/// Makes a directory and what it stands in. What is in it outlasts a power cut only if its own name does.
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

fn found(end: End) -> Found {
    match end {
        End::Ended(exit) => Found::Ended(exit),
        End::NotStarted(_) => Found::NeverStarted,
    }
}

fn unknown(why: String, gone: bool) -> Found {
    Found::Unknown { why, gone }
}

#[cfg(test)]
mod tests {
    use super::super::alive::process;
    use super::*;

    struct Room {
        _outer: tempfile::TempDir,
        exits: Exits,
    }

    fn room() -> Room {
        let outer = tempfile::tempdir().unwrap();
        let exits = Exits::open(&outer.path().join("run")).unwrap();
        Room { _outer: outer, exits }
    }

    const ME: &str = "supervisor-1.lock";

    impl Room {
        fn log(&self, boot: &str, machine: &str) -> Log {
            let name = if boot == "an earlier one" { "supervisor-0.lock" } else { ME };
            let one = Supervisor { name: name.to_owned(), machine: machine.to_owned(), boot: boot.to_owned() };
            Log::begin(&self.exits.dir, &one).unwrap()
        }

        fn here(&self) -> Log {
            self.log(&boot_id().unwrap(), &machine_id().unwrap())
        }

        fn find(&self, ticket: &str) -> Found {
            self.exits.find(ticket).unwrap()
        }

        fn text(&self) -> String {
            fs::read_to_string(path(&self.exits.dir)).unwrap()
        }

        fn write(&self, text: &str) {
            fs::write(path(&self.exits.dir), text).unwrap();
        }
    }

    fn ended(code: i32) -> End {
        End::Ended(Exit { code: Some(code), ..Exit::default() })
    }

    #[test]
    fn what_nobody_claimed_was_never_started_and_never_will_be() {
        let room = room();
        assert_eq!(room.find("r/a/1"), Found::NeverStarted);
        let mut log = room.here();
        assert!(!log.claim("r/a/1", Some(ME)).unwrap());
        assert_eq!(room.find("r/a/1"), Found::NeverStarted);
        assert!(log.claim("r/a/2", Some(ME)).unwrap());
        assert!(!log.claim("r/a/2", Some(ME)).unwrap());
    }

    #[test]
    fn of_two_who_claim_at_once_the_first_in_the_file_has_it() {
        let room = room();
        let mut supervisor = room.here();
        // Both looked, and nobody had claimed; then both write.
        let mut later = Log::open(&room.exits.dir).unwrap();
        assert!(later.claim("t", None).unwrap());
        assert!(!supervisor.claim("t", Some(ME)).unwrap());
        assert!(supervisor.claim("u", Some(ME)).unwrap());
        assert!(!later.claim("u", None).unwrap());
        assert_eq!(room.find("t"), Found::NeverStarted);
        assert!(matches!(room.find("u"), Found::Unknown { .. }));
    }

    #[test]
    fn another_boot_closes_and_another_machine_does_not() {
        let (boot, machine) = (room(), room());
        boot.log("an earlier one", &machine_id().unwrap()).claim("t", Some("supervisor-0.lock")).unwrap();
        machine.log(&boot_id().unwrap(), "another").claim("t", Some(ME)).unwrap();
        assert!(matches!(boot.find("t"), Found::Unknown { gone: true, .. }));
        assert!(matches!(machine.find("t"), Found::Unknown { gone: false, .. }));
    }

    #[test]
    fn a_claim_that_a_power_cut_may_have_taken_is_not_called_never_started() {
        let room = room();
        drop(room.log("an earlier one", &machine_id().unwrap()));
        assert!(matches!(room.find("t"), Found::Unknown { gone: true, .. }));
        // Nor later, when this boot has had supervisors of its own.
        let mut log = room.here();
        assert!(matches!(room.find("t"), Found::Unknown { gone: true, .. }));
        log.ended("t", &ended(4)).unwrap();
        assert!(matches!(room.find("t"), Found::Ended(Exit { code: Some(4), .. })));
    }

    #[test]
    fn it_runs_while_its_supervisor_lives_and_is_unknown_after() {
        let room = room();
        let mut log = room.here();
        log.claim("t", Some(ME)).unwrap();
        let lock = room.exits.lock(ME).unwrap();
        assert_eq!(room.find("t"), Found::Running);
        drop(lock);
        assert!(matches!(room.find("t"), Found::Unknown { gone: false, .. }));
        let me = process(i32::try_from(std::process::id()).unwrap()).unwrap().unwrap();
        log.runs("t", Started { start: me.start + 1, ..me }).unwrap();
        assert!(matches!(room.find("t"), Found::Unknown { gone: true, .. }));
        log.ended("t", &ended(3)).unwrap();
        assert!(matches!(room.find("t"), Found::Ended(Exit { code: Some(3), .. })));
        log.ended("u", &End::NotStarted("no such program".to_owned())).unwrap();
        assert_eq!(room.find("u"), Found::NeverStarted);
    }

    #[test]
    fn a_damaged_line_is_an_error_and_not_an_answer() {
        let room = room();
        let mut log = room.here();
        log.claim("r/\"a\"/1", Some(ME)).unwrap();
        log.ended("r/\"a\"/1", &ended(0)).unwrap();
        let whole = room.text();
        for cut in 1..whole.len() {
            room.write(&whole[..cut]);
            let of_another = room.exits.find("r/b/1");
            let at_a_border = whole.as_bytes()[cut - 1] == b'\n';
            assert_eq!(of_another.is_ok(), at_a_border, "{:?}", &whole[..cut]);
            match room.exits.find("r/\"a\"/1") {
                Ok(Found::NeverStarted | Found::Ended(_)) => assert!(at_a_border, "{:?}", &whole[..cut]),
                Ok(Found::Running) => panic!("{:?}", &whole[..cut]),
                Ok(Found::Unknown { .. }) | Err(_) => {}
            }
        }
    }

    #[test]
    fn who_writes_after_a_torn_line_begins_a_new_one() {
        let room = room();
        let mut log = room.here();
        log.claim("t", Some(ME)).unwrap();
        let whole = room.text();
        room.write(&whole[..whole.len() - 9]);
        let mut log = room.here();
        log.ended("t", &ended(7)).unwrap();
        assert!(matches!(room.find("t"), Found::Ended(Exit { code: Some(7), .. })));
    }
}
