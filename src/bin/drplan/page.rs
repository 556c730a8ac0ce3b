//! The ticked runbook of a run, beside its journal: the page from which people go on when this program is gone. It
//! does not know what stands on it.

use std::path::PathBuf;
use std::sync::Arc;

use drplan::execute::State;
use drplan::journal::Entry;
use drplan::report::ticks::Ticks;
use drplan::world::real::paper::Paper;

/// The page, from the moment at which this driver has the run.
pub struct Page {
    path: PathBuf,
    paper: Option<Paper<Vec<Entry>>>,
}

impl Page {
    /// Nothing is written yet.
    pub fn new(path: PathBuf) -> Page {
        Page { path, paper: None }
    }

    /// Writes it, up to these events; gives why it cannot.
    pub fn begin(&mut self, entries: &[Entry], state: &State) -> Option<String> {
        let (run, checked) = (state.run.clone(), Arc::clone(&state.checked));
        let mut paper = Paper::keep(self.path.clone(), move || {
            let mut ticks = Ticks::new(&run, checked);
            move |news: Vec<Vec<Entry>>| {
                news.iter().flatten().for_each(|entry| ticks.tell(entry));
                ticks.text()
            }
        });
        let there = self.path.is_file();
        paper.tell(entries.to_vec());
        // Whoever goes on has the page that the one before left.
        let failed = if there { None } else { paper.first() };
        self.paper = Some(paper);
        complaint(failed)
    }

    /// An event.
    pub fn entry(&mut self, entry: &Entry) -> Option<String> {
        let paper = self.paper.as_mut()?;
        paper.tell(vec![entry.clone()]);
        complaint(paper.failure())
    }

    /// Waits until all of it stands there.
    pub fn close(&mut self) -> Option<String> {
        complaint(self.paper.as_mut().and_then(Paper::close))
    }
}

fn complaint(failure: Option<String>) -> Option<String> {
    failure.map(|why| format!("! the ticked runbook could not be written; the run goes on without it: {why}"))
}
