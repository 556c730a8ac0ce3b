//! Drivers that die (SIGKILL) before and after every append, between them, at random moments, again and again on the way
//! of one run, forwards and backwards; and what is left is judged. On a file and on a server.
//!
//! How many deaths each test sees: DRPLAN_DEATHS. Where a life begins to die moves through the whole run, and where it
//! dies next is drawn from DRPLAN_SEED.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::desk::{Said, said_of};
use crate::disk::Dice;
use crate::fact::until;
use crate::scene::{Scene, Store};
use crate::sixty::{self, Next};
use crate::strace::{inject, trace};
#[cfg(feature = "postgres")]
use crate::way::{LOSE_COMMIT, LOSE_REPLY, Way};

/// How often one run dies before it is let go on to its end.
const EACH: usize = 8;

/// Where a driver dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// Before this write to the journal's file.
    Write(usize),
    /// Before this sync of it: written, and not on the disk.
    Sync(usize),
    /// Before this message to the server, of one thread.
    #[cfg(feature = "postgres")]
    Message(usize),
    /// Before this COMMIT leaves.
    #[cfg(feature = "postgres")]
    Commit(usize),
    /// When this COMMIT is done, and nobody was told.
    #[cfg(feature = "postgres")]
    Reply(usize),
    /// Before this write to anything, of one thread: between an append and what follows it, too.
    Call(usize),
    /// This long after it began.
    Moment(Duration),
    /// The same, and the supervisor of its commands dies first; the commands go on.
    Both(Duration),
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// What was seen.
#[derive(Debug, Default)]
struct Count {
    lives: usize,
    deaths: usize,
    survived: usize,
    before_the_run: usize,
    turned: usize,
    answers: usize,
    kinds: BTreeMap<&'static str, usize>,
    /// The last events that the journal held when a driver died: each with its step.
    places: BTreeSet<String>,
}

/// A run without a death, and how much there is of everything that a death can be before.
struct Calm {
    writes: usize,
    syncs: usize,
    #[cfg(feature = "postgres")]
    messages: usize,
    #[cfg(feature = "postgres")]
    commits: usize,
    calls: usize,
    took: Duration,
    places: BTreeSet<String>,
}

fn wal(scene: &Scene) -> PathBuf {
    crate::wal(Path::new(&scene.journal))
}

fn calm(store: &Store) -> Calm {
    let scene = Scene::new(store, 0, &sixty::plan());
    let begun = Instant::now();
    let ran = scene.say(&["run", "plan.yaml", "--yes"]);
    let took = begun.elapsed();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    sixty::judge(&scene, "a calm run");
    let events = sixty::events(&scene);
    let scene = Scene::new(store, 1, &sixty::plan());
    let whole = trace("pwrite64,fsync,sendto,write", &scene.program(&["run", "plan.yaml", "--yes"]));
    assert!(whole.output.status.success(), "{:?}", whole.output);
    // Commands, and their supervisor, are children of the first process.
    let by_thread = |name: &str, on: Option<&Path>| {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        let calls = whole.calls.iter().filter(|c| c.name == name && on.is_none_or(|file| c.on(file)));
        calls.for_each(|c| *counts.entry(c.pid).or_default() += 1);
        counts.into_values().max().unwrap_or_default()
    };
    let first = whole.calls.first().expect("it writes").pid;
    Calm {
        writes: by_thread("pwrite64", Some(&wal(&scene))),
        syncs: by_thread("fsync", Some(&wal(&scene))),
        #[cfg(feature = "postgres")]
        messages: by_thread("sendto", None),
        #[cfg(feature = "postgres")]
        commits: whole.calls.iter().filter(|c| c.name == "sendto" && c.data().windows(7).any(|w| w == b"COMMIT\0")).count(),
        calls: whole.calls.iter().filter(|c| c.name == "write" && c.pid == first).count(),
        took,
        places: events.iter().map(place).collect(),
    }
}

fn place(event: &serde_json::Value) -> String {
    ["event", "doing", "step"].iter().filter_map(|key| event[*key].as_str()).collect::<Vec<_>>().join(" ")
}

/// Runs the program until it dies there, or ends before.
fn dies(scene: &Scene, words: &[&str], death: Death) -> Said {
    let output = match death {
        Death::Write(n) => inject(&format!("pwrite64:signal=KILL:when={n}"), Some(&wal(scene)), &scene.program(words)),
        Death::Sync(n) => inject(&format!("fsync:signal=KILL:when={n}"), Some(&wal(scene)), &scene.program(words)),
        #[cfg(feature = "postgres")]
        Death::Message(n) => inject(&format!("sendto:signal=KILL:when={n}"), None, &scene.program(words)),
        Death::Call(n) => inject(&format!("write:signal=KILL:when={n}"), None, &scene.program(words)),
        #[cfg(feature = "postgres")]
        Death::Commit(n) => at_commit(scene, words, n, LOSE_COMMIT),
        #[cfg(feature = "postgres")]
        Death::Reply(n) => at_commit(scene, words, n, LOSE_REPLY),
        Death::Moment(after) | Death::Both(after) => {
            let child = piped(scene.program(words)).spawn().expect("it can be started");
            std::thread::sleep(after);
            if matches!(death, Death::Both(_)) {
                supervisors(scene).into_iter().for_each(kill);
            }
            kill(child.id());
            child.wait_with_output().expect("it was started")
        }
    };
    assert!(output.status.code().is_some() || output.status.signal() == Some(9), "{death:?}: {output:?}");
    said_of(&output)
}

fn piped(mut command: Command) -> Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until nothing of a run's commands is left.
pub fn until_alone(scene: &Scene) {
    until("its supervisor ends", || supervisors(scene).is_empty().then_some(()));
}

/// Whatever looks after this run's commands.
fn supervisors(scene: &Scene) -> Vec<u32> {
    let dir = scene.desk.path("");
    let place = dir.to_str().expect("a temporary directory is text");
    let of_it = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        words.contains("supervise\0") && words.contains(place)
    };
    let all = std::fs::read_dir("/proc").expect("it is there").flatten();
    all.filter_map(|e| e.file_name().to_str()?.parse().ok()).filter(of_it).collect()
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process has a number");
    // It may have ended in this very moment; it is not waited for before, so the number is still its own.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[cfg(feature = "postgres")]
fn at_commit(scene: &Scene, words: &[&str], nth: usize, mode: u8) -> std::process::Output {
    let way = Way::before(&scene.journal);
    let pid = std::sync::Arc::new(std::sync::Mutex::new(None));
    let known = std::sync::Arc::clone(&pid);
    // The number of the process is known before this runs: whoever starts it holds the lock until then.
    let mut slot = pid.lock().expect("nobody panicked with it");
    way.at_commit(nth, mode, move || kill(known.lock().expect("nobody panicked with it").expect("it was started")));
    let mut program = piped(scene.program(words));
    let child = program.env("DRPLAN_JOURNAL", way.instead(&scene.journal)).spawn().expect("it can be started");
    *slot = Some(child.id());
    drop(slot);
    child.wait_with_output().expect("it was started")
}

/// One run that dies and dies, and is judged in the end.
struct Life<'a> {
    store: &'a Store,
    calm: &'a Calm,
    dice: Dice,
}

impl Life<'_> {
    /// A death somewhere in a whole run, for the `n`th life: however many they are, they are evenly spread.
    fn first(&mut self, n: usize) -> Death {
        let (kind, nth) = (n % self.kinds(), n / self.kinds());
        // Steps of the golden section, of which no two are ever close.
        let spread = (nth * 618_034 + 500_000) % 1_000_000;
        self.death(kind, |all| 1 + spread * all / 1_000_000)
    }

    /// One that comes soon enough to leave something for the next, and sooner where little is left.
    fn next(&mut self, turns: bool) -> Death {
        let (kind, drawn) = (self.dice.below(self.kinds()), self.dice.below(1 << 20));
        self.death(kind, |all| 1 + drawn % (all / if turns { 16 } else { 4 }).max(1))
    }

    /// One when what can be taken back is done in part.
    fn late(&mut self) -> Death {
        let (kind, drawn) = (self.dice.below(self.kinds()), self.dice.below(1 << 20));
        self.death(kind, |all| all * 5 / 6 + drawn % (all / 7).max(1))
    }

    fn kinds(&self) -> usize {
        self.deaths(|all| all).len()
    }

    fn death(&self, kind: usize, nth: impl Fn(usize) -> usize) -> Death {
        self.deaths(nth)[kind]
    }

    /// One of each kind that there is on this store: the `nth` of all that a calm run has.
    fn deaths(&self, nth: impl Fn(usize) -> usize) -> Vec<Death> {
        let calm = self.calm;
        let moment = |nth: usize| calm.took * nth as u32 / 1000;
        let any = [Death::Call(nth(calm.calls)), Death::Moment(moment(nth(1000))), Death::Both(moment(nth(1000)))];
        let own = match self.store {
            Store::File => vec![Death::Write(nth(calm.writes)), Death::Sync(nth(calm.syncs))],
            #[cfg(feature = "postgres")]
            Store::Server(_) => vec![Death::Commit(nth(calm.commits)), Death::Reply(nth(calm.commits)), Death::Message(nth(calm.messages))],
        };
        own.into_iter().chain(any).collect()
    }

    /// The `n`th life. One in three dies near its end and turns back.
    fn live(&mut self, n: usize, count: &mut Count) {
        let scene = Scene::new(self.store, n + 2, &sixty::plan());
        let turns = n % 3 == 2;
        let mut told = vec![if turns { self.late() } else { self.first(n) }];
        let mut words = vec!["run", "plan.yaml", "--yes"];
        count.lives += 1;
        loop {
            let death = told[told.len() - 1];
            let ran = dies(&scene, &words, death);
            self.died(&scene, death, &ran, count);
            if scene.run().is_empty() {
                // It died before its first event, and did nothing.
                assert_eq!(scene.desk.text("tries"), "", "{told:?}");
                count.before_the_run += 1;
                return;
            }
            if ran.code.is_some() {
                match sixty::answer(&scene, &ran) {
                    Next::Ended => break,
                    Next::GoOn(answers) => count.answers += answers,
                }
            }
            self.lapse(&scene);
            if told.len() == EACH {
                count.answers += sixty::finish(&scene);
                break;
            }
            words = vec!["resume", "--yes"];
            if turns && told.len() == 1 && sixty::can_turn(&scene) {
                words = vec!["rollback", "--to", sixty::UNDO_TO, "--reason", "it went wrong", "--yes"];
                count.turned += 1;
            }
            told.push(self.next(turns));
        }
        sixty::judge(&scene, &format!("life {n}: {told:?}"));
    }

    /// A server does not see that a driver is gone: thirty seconds pass.
    fn lapse(&self, scene: &Scene) {
        if !matches!(self.store, Store::File) {
            assert!(scene.silence());
        }
    }

    fn died(&self, scene: &Scene, death: Death, ran: &Said, count: &mut Count) {
        if ran.code.is_some() {
            count.survived += 1;
            return;
        }
        count.deaths += 1;
        let kind = match death {
            Death::Write(_) => "before a write to the journal",
            Death::Sync(_) => "before a sync of the journal",
            #[cfg(feature = "postgres")]
            Death::Message(_) => "before a message to the server",
            #[cfg(feature = "postgres")]
            Death::Commit(_) => "before a COMMIT leaves",
            #[cfg(feature = "postgres")]
            Death::Reply(_) => "after a COMMIT, before its reply",
            Death::Call(_) => "before any write",
            Death::Moment(_) => "at a random moment",
            Death::Both(_) => "at a random moment, the supervisor too",
        };
        *count.kinds.entry(kind).or_default() += 1;
        if let Some(last) = sixty::events(scene).last() {
            count.places.insert(place(last));
        }
    }
}

fn die(store: &Store) {
    let wanted = number("DRPLAN_DEATHS", 16);
    let seed = number("DRPLAN_SEED", 0x0dea_d5ea) as u64;
    let calm = calm(store);
    let mut life = Life { store, calm: &calm, dice: Dice(seed | 1) };
    let mut count = Count::default();
    let begun = Instant::now();
    for n in 0.. {
        if count.deaths >= wanted {
            break;
        }
        life.live(n, &mut count);
        if n % 10 == 9 {
            println!("{n} lives, {} deaths in {:?}", count.deaths, begun.elapsed());
        }
    }
    let everywhere = calm.places.intersection(&count.places).count();
    println!(
        "{} deaths in {} lives in {:.0?}: {:?}; {} drivers outlived their death's hour, {} died before the run began; {} runs turned back; \
         {} answers of a person; the journal's last event was one of {} of the {} of a calm run (and {} others)",
        count.deaths,
        count.lives,
        begun.elapsed(),
        count.kinds,
        count.survived,
        count.before_the_run,
        count.turned,
        count.answers,
        everywhere,
        calm.places.len(),
        count.places.len() - everywhere
    );
    assert!(count.deaths >= wanted && count.before_the_run < count.lives, "{count:?}");
}

#[test]
fn a_run_dies_and_dies_and_no_command_is_done_twice_or_lost_on_a_file() {
    die(&Store::File);
}

#[cfg(feature = "postgres")]
#[test]
fn a_run_dies_and_dies_and_no_command_is_done_twice_or_lost_on_a_server() {
    die(&Store::Server(crate::lab::Lab::up(&["--servers"])));
}
