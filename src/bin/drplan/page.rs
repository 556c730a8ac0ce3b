//! The ticked runbook of a run, beside its journal: the page from which people go on when this program is gone. It
//! does not know what stands on it.

use std::path::PathBuf;
use std::sync::Arc;

use drplan::execute::State;
use drplan::journal::Entry;
use drplan::report::ticks::Ticks;
use drplan::world::real::paper::Paper;

use crate::output;

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

    /// Writes it, up to these events.
    pub fn begin(&mut self, entries: &[Entry], state: &State) {
        let (run, checked) = (state.run.clone(), Arc::clone(&state.checked));
        let mut paper = Paper::keep(self.path.clone(), move || {
            let mut ticks = Ticks::new(&run, checked);
            move |news: Vec<Vec<Entry>>| {
                news.iter().flatten().for_each(|entry| ticks.tell(entry));
                ticks.text()
            }
        });
        paper.tell(entries.to_vec());
        complain(paper.first());
        self.paper = Some(paper);
    }

    /// An event.
    pub fn entry(&mut self, entry: &Entry) {
        if let Some(paper) = &mut self.paper {
            paper.tell(vec![entry.clone()]);
            complain(paper.failure());
        }
    }

    /// Waits until all of it stands there.
    pub fn close(&mut self) {
        complain(self.paper.as_mut().and_then(Paper::close));
    }
}

fn complain(failure: Option<String>) {
    if let Some(why) = failure {
        output::say(&format!("The ticked runbook could not be written; the run goes on without it: {why}\n"));
    }
}
