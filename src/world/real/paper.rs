//! A text that is kept on the disk while what it says changes: by a thread of its own, so that nobody waits for the
//! disk. It does not know what the text says.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{parent, temporary_beside};

/// A text takes at most this part of a processor and of the disk: one that takes long is written less often.
const SHARE: u32 = 20;

/// The longest rest between two writings.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// How long it does not listen while it rests.
const NAP: Duration = Duration::from_millis(20);

/// How long the first and the last writing are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file that follows what it is told.
pub struct Paper<T> {
    news: Option<Sender<T>>,
    said: Receiver<Result<(), String>>,
    told: bool,
}

impl<T: Send + 'static> Paper<T> {
    /// Keeps the file at `path`: each time `write` gives the whole text, which replaces the one before it in one step.
    /// `begin` makes `write` in the thread; `write` is given all that was told since it was asked last.
    pub fn keep<W>(path: PathBuf, begin: impl FnOnce() -> W + Send + 'static) -> Paper<T>
    where
        W: FnMut(Vec<T>) -> String,
    {
        let (news, heard) = channel();
        let (say, said) = channel();
        // A thread that cannot be had says nothing, and the first wait tells so.
        let _ = thread::Builder::new().name("runbook".to_owned()).spawn(move || follow(&path, begin(), &heard, &say));
        Paper { news: Some(news), said, told: false }
    }

    /// Tells it something.
    pub fn tell(&mut self, news: T) {
        if let Some(sender) = &self.news {
            // Without its thread there is nobody who hears; the first wait has said so.
            let _ = sender.send(news);
        }
    }

    /// Waits until what was told first stands there, but not for ever; gives why it does not.
    pub fn first(&mut self) -> Option<String> {
        let failed = match self.said.recv_timeout(PATIENCE) {
            Ok(said) => said.err(),
            Err(_) => Some("the disk does not answer".to_owned()),
        };
        self.once(failed)
    }

    /// Why the file could not be written, once.
    pub fn failure(&mut self) -> Option<String> {
        let failed = self.said.try_iter().find_map(Result::err);
        self.once(failed)
    }

    /// Tells it that nothing more comes, and waits until all stands there, but not for ever.
    pub fn close(&mut self) -> Option<String> {
        drop(self.news.take()?);
        let until = Instant::now() + PATIENCE;
        let mut failed = None;
        loop {
            match self.said.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(said) => failed = said.err(),
                Err(RecvTimeoutError::Disconnected) => return self.once(failed),
                Err(RecvTimeoutError::Timeout) => return self.once(Some("the disk does not answer".to_owned())),
            }
        }
    }

    fn once(&mut self, failed: Option<String>) -> Option<String> {
        failed.filter(|_| !std::mem::replace(&mut self.told, true))
    }
}

fn follow<T>(path: &Path, mut write: impl FnMut(Vec<T>) -> String, heard: &Receiver<T>, say: &Sender<Result<(), String>>) {
    super::humble();
    let mut news: Vec<T> = Vec::new();
    loop {
        if news.is_empty() {
            match heard.recv() {
                Ok(one) => news.push(one),
                Err(_) => return,
            }
        }
        let began = Instant::now();
        news.extend(heard.try_iter());
        let written = put(path, &write(std::mem::take(&mut news)));
        // Nobody may listen any more; the file is kept all the same.
        let _ = say.send(written.map_err(|e| format!("{}: {e}", path.display())));
        let until = Instant::now() + (began.elapsed() * (SHARE - 1)).min(LONGEST_REST);
        // Who tells something is not to pay for waking it up.
        loop {
            match heard.try_recv() {
                Ok(one) => news.push(one),
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) if Instant::now() >= until => break,
                Err(TryRecvError::Empty) => thread::sleep(NAP),
            }
        }
    }
}

/// Whole or not at all: who reads sees the text before or this one.
fn put(path: &Path, text: &str) -> io::Result<()> {
    super::exits::make(parent(path))?;
    let temporary = temporary_beside(path);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_data()
    });
    let done = written.and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        // What is left of it is of no use to anyone; the failure itself is what is told.
        let _ = fs::remove_file(&temporary);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(path: PathBuf) -> Paper<u32> {
        Paper::keep(path, || {
            let mut sum = 0;
            move |news: Vec<u32>| {
                sum += news.iter().sum::<u32>();
                sum.to_string()
            }
        })
    }

    #[test]
    fn what_was_told_stands_there_at_the_end_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d/page");
        let mut paper = counting(path.clone());
        paper.tell(1);
        assert_eq!(paper.first(), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
        (0..1000).for_each(|_| paper.tell(1));
        assert_eq!(paper.close(), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1001");
        assert_eq!(fs::read_dir(dir.path().join("d")).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_is_said_once_and_it_goes_on_when_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page");
        fs::create_dir(&path).unwrap();
        let mut paper = counting(path.clone());
        paper.tell(1);
        assert!(paper.first().unwrap().contains("page: "));
        paper.tell(1);
        assert_eq!(paper.first(), None, "it was said");
        fs::remove_dir(&path).unwrap();
        paper.tell(1);
        assert_eq!(paper.close(), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "3");
    }
}
