//! The power goes at every sync of a run: the journal is rebuilt as the disk may hold it then, opened and read. Every
//! intent whose effect had begun is there, and every end that the screen had told.
//!
//! With DRPLAN_POWER=all at every sync, with more of chance at each; else at a part of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drplan::journal::{Archive, Doing, Event, Row, Store, sqlite};

use crate::deaths::until_alone;
use crate::desk::{Desk, said_of};
use crate::disk::{self, Dice, Disk};
use crate::scene::{LIGHT, Scene};
use crate::sixty;
use crate::strace::{Call, Trace, trace, trace_faulty};

/// A run on a journal in a directory of a directory that is not there yet.
fn scene() -> Scene {
    let desk = Desk::within(Path::new(LIGHT), &sixty::plan());
    let journal = desk.path("kept/here/j.db").display().to_string();
    Scene { desk, journal }
}

fn root(scene: &Scene) -> PathBuf {
    scene.desk.path("").components().collect()
}

fn seen_calls() -> String {
    format!("{},execve", disk::CALLS)
}

/// What somebody knows when the power goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// An attempt of a step began.
    Begun(String),
    /// The screen said that it is done.
    Done(String),
}

/// What was known, in the order of the calls that showed it.
fn known(calls: &[Call]) -> Vec<(usize, Known)> {
    let mut out = Vec::new();
    for call in calls {
        match call.name.as_str() {
            "execve" if call.result == Some(0) && call.args.contains("DRPLAN_TICKET") => {
                let (before, _) = call.args.rsplit_once(" >> names").expect("a command writes its name down");
                out.push((call.begin, Known::Begun(before[before.len() - 3..].to_owned())));
            }
            "write" if call.args.starts_with("2<") => out.extend(done(&call.data()).into_iter().map(|known| (call.begin, known))),
            _ => {}
        }
    }
    out
}

fn done(screen: &[u8]) -> Vec<Known> {
    let text = String::from_utf8_lossy(screen);
    let step = |line: &str| Some(Known::Done(line.split_once("✓ ")?.1.get(..3)?.to_owned()));
    text.lines().filter_map(step).collect()
}

/// What of this a journal does not have: more of it may be known than was kept.
fn missing(events: &[Event], known: impl Iterator<Item = Known>) -> Vec<String> {
    let mut counts: BTreeMap<Known, usize> = BTreeMap::new();
    known.for_each(|known| *counts.entry(known).or_default() += 1);
    let kept = |known: &Known| match known {
        Known::Begun(step) => {
            events.iter().filter(|e| matches!(e, Event::Intent { step: s, doing: Doing::Apply, .. } if s == step)).count()
        }
        Known::Done(step) => events.iter().filter(|e| matches!(e, Event::Done { step: s, doing: Doing::Apply, .. } if s == step)).count(),
    };
    counts.iter().filter(|(known, n)| kept(known) < **n).map(|(known, n)| format!("{n} × {known:?}, and {} kept", kept(known))).collect()
}

/// All rows of the one run of a journal; none if there is no run. Whatever the power left can be opened, and holds together.
fn rows(journal: &Path) -> Result<Vec<Row>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        if !journal.exists() {
            return Ok(Vec::new());
        }
        let store = sqlite::open(journal).await.map_err(|e| e.to_string())?;
        let Some(run) = store.runs().await.map_err(|e| e.to_string())?.pop() else { return Ok(Vec::new()) };
        store.verify(&run.id).await.map_err(|e| e.to_string())?;
        store.rows(&run.id, 1).await.map_err(|e| e.to_string())
    })
}

fn events(rows: &[Row]) -> Vec<Event> {
    rows.iter().map(|row| serde_json::from_str(&row.body).expect("it was verified")).collect()
}

/// Writes files into a directory, as if that were the one that they stood in.
fn lay(files: &BTreeMap<PathBuf, Vec<u8>>, from: &Path, to: &Path) {
    for (path, bytes) in files {
        let path = to.join(path.strip_prefix(from).expect("it stands there"));
        std::fs::create_dir_all(path.parent().expect("it stands in a directory")).expect("it can be made");
        std::fs::write(path, bytes).expect("it can be written");
    }
}

/// How much is looked at.
struct Effort {
    /// Of so many syncs one.
    each: usize,
    /// So often chance adds something.
    chances: usize,
    /// Of so many that are looked at, one is gone on from.
    resumed: usize,
}

fn effort() -> Effort {
    match std::env::var("DRPLAN_POWER").as_deref() {
        Ok("all") => Effort { each: 1, chances: 8, resumed: 10 },
        _ => Effort { each: 10, chances: 2, resumed: 20 },
    }
}

/// What the power left at one moment.
struct Moment {
    /// In the eyes of every process: what a plan's commands wrote counts as the world outside.
    seen: BTreeMap<PathBuf, Vec<u8>>,
    safe: BTreeMap<PathBuf, Vec<u8>>,
}

/// The power goes at the syncs of a run; what was lost, in words, and how often it was looked.
fn lost(scene: &Scene, disk: &mut Disk, run: &Trace, told: &[Known], effort: &Effort) -> (Vec<String>, usize, Vec<Moment>) {
    let root = root(scene);
    let (last, known) = (rows(Path::new(&scene.journal)).expect("a run that ended is whole"), known(&run.calls));
    let (mut lost, mut looks, mut syncs, mut moments) = (Vec::new(), 0, 0, Vec::new());
    let mut dice = Dice(0xd15c_d15c);
    disk.play(&run.calls, |disk, sync| {
        syncs += 1;
        if syncs % effort.each != 0 {
            return;
        }
        let until = known.iter().filter(|(begin, _)| *begin < sync.end).count();
        let safe = disk.left(&root, None);
        for chance in 0..=effort.chances {
            let files = if chance == 0 { safe.clone() } else { disk.left(&root, Some(&mut dice)) };
            let there = tempfile::tempdir_in(LIGHT).expect("a temporary directory");
            lay(&files, &root, there.path());
            looks += 1;
            let journal = there.path().join(Path::new(&scene.journal).strip_prefix(&root).expect("it stands there"));
            let at = format!("sync {syncs} ({}), {}", sync.args, if chance == 0 { "what is safe" } else { "and a part of the rest" });
            match rows(&journal) {
                Err(why) => lost.push(format!("{at}: {why}")),
                Ok(found) => {
                    if !last.starts_with(&found) {
                        lost.push(format!("{at}: it holds what was never written"));
                    }
                    let all = told.iter().cloned().chain(known[..until].iter().map(|(_, known)| known.clone()));
                    lost.extend(missing(&events(&found), all).into_iter().map(|what| format!("{at}: {what}")));
                }
            }
        }
        moments.push(Moment { seen: disk.seen(&root), safe });
    });
    (lost, looks, moments)
}

/// Puts everything back as it was at a moment, the machine started anew, and goes on from there.
fn go_on(scene: &Scene, moment: &Moment) {
    let root = root(scene);
    let kept = root.join("kept");
    for name in ["names", "tries", "undone", "kept", "state"] {
        let path = root.join(name);
        let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
    }
    for file in std::fs::read_dir(&root).expect("it is there").flatten().filter(|f| f.file_name().to_string_lossy().ends_with(".tried")) {
        std::fs::remove_file(file.path()).expect("it can be removed");
    }
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("there is one");
    let mut files: BTreeMap<_, _> = moment.seen.iter().filter(|(path, _)| !path.starts_with(&kept)).collect();
    files.extend(moment.safe.iter().filter(|(path, _)| path.starts_with(&kept)));
    let anew = |(path, bytes): (&PathBuf, &Vec<u8>)| {
        let text = String::from_utf8_lossy(bytes);
        let claim = path.extension().is_some_and(|end| end == "jsonl");
        (path.clone(), if claim { text.replace(boot.trim(), "an-earlier-boot").into_bytes() } else { bytes.clone() })
    };
    lay(&files.into_iter().map(anew).collect(), &root, &root);
    if scene.run().is_empty() {
        assert_eq!(scene.desk.text("tries"), "", "commands ran, and nobody knows of a run");
        return;
    }
    sixty::finish(scene);
    sixty::judge(scene, "the power went");
}

#[test]
fn the_power_goes_at_every_sync_and_what_had_begun_is_known() {
    let (scene, effort) = (scene(), effort());
    let run = trace(&seen_calls(), &scene.program(&["run", "plan.yaml", "--yes"]));
    assert!(run.output.status.success(), "{:?}", run.output);
    let mut disk = Disk::default();
    disk.with(&root(&scene));
    let (lost, looks, moments) = lost(&scene, &mut disk, &run, &[], &effort);
    assert!(lost.is_empty(), "{} of {looks}: {:#?}", lost.len(), &lost[..lost.len().min(6)]);
    let all = known(&run.calls).len();
    assert!(all > 2 * sixty::STEPS, "each step begins and ends: only {all} were seen");
    let resumed = moments.iter().step_by(effort.resumed).map(|moment| go_on(&scene, moment)).count();
    println!("{} moments, opened {looks} times, gone on from {resumed} times; {all} things were known in the end", moments.len());
}

/// Afterwards the kernel holds for written what the disk does not have.
#[test]
fn a_sync_fails_and_then_the_power_goes_and_what_had_begun_since_is_known() {
    let effort = effort();
    for nth in [20, 70] {
        let scene = scene();
        let here = Path::new(&scene.journal).parent().expect("it stands in a directory").to_owned();
        std::fs::create_dir_all(&here).expect("it can be made");
        let fault = format!("fsync:error=EIO:when={nth}");
        let run = scene.program(&["run", "plan.yaml", "--yes"]);
        let files = ["j.db", "j.db-wal", "j.db-journal", ""].map(|name| here.join(name).components().collect::<PathBuf>());
        let failed = trace_faulty(disk::CALLS, &fault, &files, &run);
        let said = said_of(&failed.output);
        assert_eq!(said.code, Some(16), "{said:?}");
        until_alone(&scene);
        let told = done(said.err.as_bytes());
        let mut disk = Disk::default();
        [root(&scene), root(&scene).join("kept"), here].iter().for_each(|dir| disk.with(dir));
        disk.play(&failed.calls, |_, _| {});
        let resumed = trace(&seen_calls(), &scene.program(&["resume", "--yes"]));
        assert!(resumed.output.status.success(), "{:?}", resumed.output);
        let (lost, looks, _) = lost(&scene, &mut disk, &resumed, &told, &effort);
        assert!(lost.is_empty(), "sync {nth} failed: {} of {looks}: {:#?}", lost.len(), &lost[..lost.len().min(6)]);
        println!("sync {nth} failed: opened {looks} times, {} ends were told before", told.len());
        sixty::judge(&scene, "a sync failed");
    }
}
