//! What is shown while a run goes on, by a thread of its own: a terminal that was stopped, or a pipe that nobody reads,
//! holds up what is shown and nothing else. It follows the run by its events, and does not know who drives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drplan::execute::State;
use drplan::journal::Entry;
use drplan::report::{Story, lines};
use drplan::world::real::aside::{Aside, Ear};
use jiff::Timestamp;
use serde_json::json;

use crate::board::Earlier;
use crate::drive;
use crate::exit::Stop;
use crate::live::Live;
use crate::next::Asking;
use crate::output;
use crate::settings::Settings;

/// The screen, as those see it who have something to show. Dropped, it has shown all of it.
pub struct Screen {
    aside: Aside<News>,
    /// A picture is wanted and not drawn yet: no second one is asked for.
    wanted: Arc<AtomicBool>,
}

/// Speaks at the screen, from anywhere.
#[derive(Clone)]
pub struct Voice(Ear<News>);

enum News {
    Begun(Box<State>),
    Event(Box<Entry>),
    Passed(Timestamp),
    Said(String),
    Typed(String),
}

impl Voice {
    /// Says something that is no event.
    pub fn say(&self, text: &str) {
        self.0.tell(News::Said(text.to_owned()));
    }

    /// A line was typed.
    pub fn typed(&self, line: &str) {
        self.0.tell(News::Typed(line.to_owned()));
    }
}

impl Screen {
    /// An empty one; answers may be `typed` at it.
    pub fn new(settings: &Settings, terminal: bool, typed: bool, earlier: Earlier) -> Result<Screen, Stop> {
        let wanted = Arc::new(AtomicBool::new(false));
        let (json, color, drawn) = (settings.json, output::color_err(settings.color), Arc::clone(&wanted));
        let show = move || {
            let mut picture = match (json, terminal) {
                (true, _) => Picture::Json,
                (false, true) => Picture::Live(Box::new(Live::new(color, typed, earlier))),
                (false, false) => Picture::Lines { story: None, asking: Asking::default() },
            };
            let mut run = None;
            move |news| picture.hear(news, &mut run, &drawn)
        };
        let aside = Aside::begin("screen", show);
        let aside = aside.map_err(|e| Stop::no_input(format!("nothing was started: the screen has no thread: {e}")))?;
        Ok(Screen { aside, wanted })
    }

    /// For those who speak beside the events.
    pub fn voice(&self) -> Voice {
        Voice(self.aside.ear())
    }

    /// The run as it stands before the first event that is shown.
    pub fn begin(&self, state: &State) {
        self.aside.tell(News::Begun(Box::new(state.clone())));
    }

    /// An event.
    pub fn entry(&self, entry: &Entry) {
        // A picture from before it would not show it.
        self.wanted.store(false, Ordering::SeqCst);
        self.aside.tell(News::Event(Box::new(entry.clone())));
    }

    /// Time passed.
    pub fn tick(&self, now: Timestamp) {
        if !self.wanted.swap(true, Ordering::SeqCst) {
            self.aside.tell(News::Passed(now));
        }
    }

    /// Something that is no event.
    pub fn say(&self, text: &str) {
        self.aside.tell(News::Said(text.to_owned()));
    }

    /// Shows what was told so far, and takes what moves away.
    pub fn close(self) {
        drop(self);
    }
}

/// What is shown.
enum Picture {
    /// JSON lines on standard output.
    Json,
    /// A line an event.
    Lines {
        /// So far.
        story: Option<Story>,
        /// What was asked.
        asking: Asking,
    },
    /// A table that moves.
    Live(Box<Live>),
}

impl Picture {
    fn hear(&mut self, news: Option<News>, run: &mut Option<Box<State>>, drawn: &AtomicBool) {
        match (news, run) {
            (Some(News::Begun(state)), run) => *run = Some(state),
            (Some(News::Event(entry)), Some(state)) => match state.fold(&entry) {
                Ok(()) => self.entry(&entry, state),
                Err(e) => self.say(&format!("! what is shown here is not the run as it stands: {e}")),
            },
            (Some(News::Passed(now)), Some(state)) => {
                drawn.store(false, Ordering::SeqCst);
                self.tick(state, now);
            }
            (Some(News::Event(_) | News::Passed(_)), None) => {}
            (Some(News::Said(text)), _) => self.say(&text),
            (Some(News::Typed(line)), _) => self.typed(&line),
            (None, _) => {
                if let Picture::Live(live) = self {
                    live.close();
                }
            }
        }
    }

    fn entry(&mut self, entry: &Entry, state: &State) {
        match self {
            Picture::Json => {
                let line = json!({ "run": state.run, "seq": entry.seq, "at": entry.at.to_string(), "event": entry.event });
                let _ = output::json_line(&line);
            }
            Picture::Lines { story, .. } => {
                if let Some(line) = lines::line(tell(story, entry, state), entry) {
                    output::say(&format!("{line}\n"));
                }
            }
            Picture::Live(live) => live.entry(entry, state),
        }
    }

    fn tick(&mut self, state: &State, now: Timestamp) {
        match self {
            Picture::Live(live) => live.tick(state, now),
            Picture::Lines { asking, .. } => asking.fresh(state, "in another terminal").iter().for_each(|block| output::say(block)),
            Picture::Json => {}
        }
    }

    fn say(&mut self, text: &str) {
        let text = text.trim_end_matches('\n');
        match self {
            Picture::Live(live) => live.say(text),
            Picture::Json | Picture::Lines { .. } => output::say(&format!("{text}\n")),
        }
    }

    fn typed(&self, line: &str) {
        if let Picture::Live(live) = self {
            live.typed(line);
        }
    }
}

/// Goes on with an event; begun from the plan when the first event that is seen here is not the run's first.
pub fn tell<'a>(so_far: &'a mut Option<Story>, entry: &Entry, state: &State) -> &'a Story {
    let story = so_far.get_or_insert_with(|| drive::story(state, &[]));
    story.tell(entry);
    story
}
