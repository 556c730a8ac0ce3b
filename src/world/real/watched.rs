//! Files of which one may become another one: what each is at a moment, and when it is worth to look again. What a
//! system tells about its files is a hint that comes quickly; whoever waits looks for himself, for hints get lost.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::parent;

/// How long nobody looks where hints come.
const LONG: Duration = Duration::from_secs(2);
/// How long nobody looks where none come.
const SHORT: Duration = Duration::from_millis(500);
/// Who writes a file is done when nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(60);

/// What a file is at a moment: two that differ are two contents, or may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(Option<[i64; 6]>);

impl Stamp {
    /// Of a path, now.
    pub fn of(path: &Path) -> Stamp {
        Stamp(std::fs::metadata(path).ok().map(|f| {
            let signed = |n: u64| i64::from_ne_bytes(n.to_ne_bytes());
            [signed(f.ino()), signed(f.size()), f.mtime(), f.mtime_nsec(), f.ctime(), f.ctime_nsec()]
        }))
    }

    /// Whether something is there at all.
    pub fn there(self) -> bool {
        self.0.is_some()
    }
}

/// Hears when something happens to files.
pub struct Watch {
    /// None where the system tells nothing: then one looks more often.
    watcher: Option<RecommendedWatcher>,
    stirred: Arc<Notify>,
    dirs: BTreeSet<PathBuf>,
}

impl Default for Watch {
    fn default() -> Self {
        let stirred = Arc::new(Notify::new());
        let tell = Arc::clone(&stirred);
        let heard = move |event: notify::Result<Event>| {
            // That somebody reads a file, as we do, changes nothing.
            if !event.is_ok_and(|e| e.kind.is_access()) {
                tell.notify_one();
            }
        };
        Watch { watcher: notify::recommended_watcher(heard).ok(), stirred, dirs: BTreeSet::new() }
    }
}

impl Watch {
    /// From now on also hears of these files, there or not: by their directories, since editors put new files in the
    /// place of old ones.
    pub fn near<'p>(&mut self, files: impl IntoIterator<Item = &'p Path>) {
        for dir in files.into_iter().map(parent) {
            if !self.dirs.contains(dir) {
                let heard = self.watcher.as_mut().is_some_and(|w| w.watch(dir, RecursiveMode::NonRecursive).is_ok());
                // A directory that is not there yet is tried again; until then one looks.
                if heard {
                    self.dirs.insert(dir.to_owned());
                }
            }
        }
    }

    /// Waits until it is worth to look; true if something is known to have happened.
    pub async fn stir(&self) -> bool {
        let rest = if self.watcher.is_some() { LONG } else { SHORT };
        timeout(rest, self.stirred.notified()).await.is_ok()
    }

    /// Waits until nothing has happened for a moment, but not for ever.
    pub async fn settle(&self) {
        for _ in 0..20 {
            if timeout(QUIET, self.stirred.notified()).await.is_err() {
                return;
            }
        }
        sleep(QUIET).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_comes_goes_or_changes_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut watch = Watch::default();
        watch.near([path.as_path()]);
        let mut before = Stamp::of(&path);
        assert!(!before.there());
        let deeds: [&dyn Fn(); 4] = [
            &|| std::fs::write(&path, "one").unwrap(),
            &|| std::fs::write(&path, "two").unwrap(),
            // As editors do.
            &|| {
                std::fs::write(dir.path().join("g"), "two").unwrap();
                std::fs::rename(dir.path().join("g"), &path).unwrap();
            },
            &|| std::fs::remove_file(&path).unwrap(),
        ];
        for deed in deeds {
            deed();
            watch.stir().await;
            watch.settle().await;
            let now = Stamp::of(&path);
            assert_ne!(now, before);
            before = now;
        }
        assert!(!before.there());
    }
}
