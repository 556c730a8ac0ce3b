//! `drplan check --watch`: plans are checked again when they, or anything that was read for them, change. What a check is,
//! `check` knows; nothing that was printed is cleared.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drplan::world::real::{self, Stamp, Watch};

use crate::desk;
use crate::exit::{Ended, Exit, Stop};
use crate::output;
use crate::plans;

/// Among so many looks without a hint, one is for new plans.
const SEARCH_EVERY: u32 = 5;

/// What was looked at during a check: each path as it was just before it was read, there or not.
#[derive(Default)]
pub struct Seen(RefCell<BTreeMap<PathBuf, Stamp>>);

impl Seen {
    /// A path is about to be read.
    pub fn note(&self, path: &Path) {
        self.0.borrow_mut().entry(path.to_owned()).or_insert_with(|| Stamp::of(path));
    }

    /// What became of the paths since.
    fn changes(&self) -> Vec<String> {
        let seen = self.0.borrow();
        let changed = seen.iter().filter_map(|(path, then)| {
            let now = Stamp::of(path);
            let how = match (then.there(), now.there()) {
                _ if now == *then => return None,
                (false, _) => "is there now",
                (_, false) => "is gone",
                _ => "changed",
            };
            Some(format!("{} {how}", path.display()))
        });
        changed.collect()
    }
}

/// Checks, and again at every change, until Ctrl-C.
pub fn follow(paths: &[PathBuf], mut check: impl FnMut(&Seen) -> Ended) -> Ended {
    desk::runtime()?.block_on(async {
        let stopped = tokio::signal::ctrl_c();
        tokio::pin!(stopped);
        let mut watch = Watch::default();
        // Where a plan may come to be that is not there yet.
        let here = [PathBuf::from(".")];
        let dirs = if paths.is_empty() { &here[..] } else { paths };
        let rooms: Vec<PathBuf> = dirs.iter().filter(|path| path.is_dir()).map(|dir| dir.join("plan.yaml")).collect();
        let mut first = true;
        loop {
            let (seen, known) = (Seen::default(), plans::of(paths));
            paths.iter().filter(|path| !path.is_dir()).for_each(|path| seen.note(path));
            match check(&seen) {
                Err(stop) if !stop.message.is_empty() => output::say(&format!("drplan: {stop}\n")),
                _ => {}
            }
            watch.near(seen.0.borrow().keys().map(PathBuf::as_path));
            watch.near(rooms.iter().map(PathBuf::as_path));
            if std::mem::take(&mut first) {
                let files = seen.0.borrow().len();
                output::say(&format!("\nWaiting for changes ({files} {}); Ctrl-C ends it.\n", if files == 1 { "file" } else { "files" }));
            }
            tokio::select! {
                what = changed(&watch, &seen, paths, &known) => output::say(&headline(&what)),
                _ = &mut stopped => return Ok(Exit::Interrupted),
            }
        }
    })
}

/// Waits until something is not as it was, and says what.
async fn changed(watch: &Watch, seen: &Seen, paths: &[PathBuf], known: &Result<Vec<PathBuf>, Stop>) -> Vec<String> {
    let mut looks = 0;
    loop {
        let hinted = watch.stir().await;
        looks += 1;
        let look = || {
            let search = hinted || looks % SEARCH_EVERY == 0;
            let mut what = seen.changes();
            if search {
                what.extend(new_plans(known, &plans::of(paths)));
            }
            what
        };
        if look().is_empty() {
            continue;
        }
        // Editors write in several steps, and a file may be away between two of them.
        watch.settle().await;
        let what = look();
        if what.iter().any(|line| line.ends_with(" is gone")) {
            watch.stir().await;
            watch.settle().await;
        }
        let what = look();
        if !what.is_empty() {
            return what;
        }
    }
}

fn new_plans(known: &Result<Vec<PathBuf>, Stop>, now: &Result<Vec<PathBuf>, Stop>) -> Vec<String> {
    let Ok(now) = now else { return Vec::new() };
    let known = known.as_deref().unwrap_or(&[]);
    now.iter().filter(|path| !known.contains(path)).map(|path| format!("{} is new", path.display())).collect()
}

fn headline(what: &[String]) -> String {
    let more = what.len().saturating_sub(3);
    let mut words = what[..what.len().min(3)].join(", ");
    if more > 0 {
        words.push_str(&format!(" and {more} more"));
    }
    format!("\n── {} · {words}\n", real::now().strftime("%H:%M:%SZ"))
}
