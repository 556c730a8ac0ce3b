//! Somebody who hears what is told in a thread of their own, and steps back where others want the processor: who tells
//! something waits for nothing. It does not know what is told.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

/// How long what is told is gathered: nobody pays for waking the thread up at every word.
const NAP: Duration = Duration::from_millis(20);

/// The thread. Dropped, it has heard all that was told.
pub struct Aside<T> {
    ear: Ear<T>,
    thread: Option<JoinHandle<()>>,
}

/// Where one speaks to it, from anywhere.
pub struct Ear<T>(Sender<Option<T>>);

impl<T> Clone for Ear<T> {
    fn clone(&self) -> Self {
        Ear(self.0.clone())
    }
}

impl<T> Ear<T> {
    /// Tells it something.
    pub fn tell(&self, news: T) {
        // When it has ended there is nobody who hears.
        let _ = self.0.send(Some(news));
    }
}

impl<T: Send + 'static> Aside<T> {
    /// Begins. `begin` makes in the thread who hears; they hear nothing (none) once, at the end.
    pub fn begin<H: FnMut(Option<T>)>(name: &str, begin: impl FnOnce() -> H + Send + 'static) -> io::Result<Aside<T>> {
        let (tell, heard) = channel();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            super::humble();
            listen(begin(), &heard);
        })?;
        Ok(Aside { ear: Ear(tell), thread: Some(thread) })
    }

    /// Tells it something.
    pub fn tell(&self, news: T) {
        self.ear.tell(news);
    }

    /// For those who speak to it.
    pub fn ear(&self) -> Ear<T> {
        self.ear.clone()
    }
}

impl<T> Drop for Aside<T> {
    fn drop(&mut self) {
        let _ = self.ear.0.send(None);
        // A thread that panicked has said so itself.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn listen<T>(mut hear: impl FnMut(Option<T>), heard: &Receiver<Option<T>>) {
    while let Ok(first) = heard.recv() {
        sleep(NAP);
        for news in std::iter::once(first).chain(heard.try_iter()) {
            let over = news.is_none();
            hear(news);
            if over {
                return;
            }
        }
    }
}
