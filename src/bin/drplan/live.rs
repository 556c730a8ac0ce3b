//! A run at a terminal: finished steps scroll by, what moves stays at the bottom, the clock against the objective on
//! the last line. It knows what is drawn, not what is decided.

use std::collections::BTreeMap;
use std::time::Duration;

use drplan::execute::{Life, State, words};
use drplan::journal::{Entry, Event};
use drplan::report::story::lines_to_one;
use drplan::report::{Story, lines};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::drive;

/// The screen.
pub struct Live {
    story: Option<Story>,
    bars: MultiProgress,
    clock: ProgressBar,
    moving: BTreeMap<usize, ProgressBar>,
    asked: BTreeMap<usize, String>,
    color: bool,
}

impl Live {
    /// An empty screen.
    pub fn new(color: bool) -> Live {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let clock = bars.add(ProgressBar::new_spinner());
        clock.set_style(style("{msg}"));
        Live { story: None, bars, clock, moving: BTreeMap::new(), asked: BTreeMap::new(), color }
    }

    /// An event.
    pub fn entry(&mut self, entry: &Entry, state: &State) {
        let Some(story) = drive::tell(&mut self.story, entry, state) else { return };
        let shown = !matches!(entry.event, Event::Intent { .. } | Event::Asked { .. });
        if let Some(line) = lines::line(story, entry).filter(|_| shown) {
            let line = self.paint(&line);
            let _ = self.bars.println(line);
        }
        self.tick(state, entry.at);
    }

    /// Time passed.
    pub fn tick(&mut self, state: &State, now: Timestamp) {
        for i in 0..state.steps.len() {
            self.step(state, i, now);
        }
        let done = state.steps.iter().filter(|s| matches!(s.life, Life::Done)).count();
        let clock = lines::time(lines::since_ms(state.incident_start, now));
        let objective = state.plan().predictions.values().filter_map(|p| p.rto_ms).min();
        let against = objective.map(|rto| format!(" of {} RTO", lines::time(rto))).unwrap_or_default();
        let left = left_ms(state);
        let end = if left > 0 { format!(" · about {} to go", lines::time(left)) } else { String::new() };
        let assumed = if state.incident_assumed { " (assumed)" } else { "" };
        self.clock.set_message(format!("  {done} of {} steps · {clock}{against} since the incident{assumed}{end}", state.steps.len()));
    }

    fn step(&mut self, state: &State, i: usize, now: Timestamp) {
        let (step, life) = (state.step(i), &state.steps[i]);
        let moves = match &life.life {
            Life::Running { since, .. } => {
                let ran = lines::since_ms(*since, now);
                let over = if ran > step.takes_ms { ", longer than expected" } else { "" };
                Some(format!("{} · {} of about {}{over}", step.id, lines::time(ran), lines::time(step.takes_ms)))
            }
            Life::Unknown { .. } if life.asked.is_none() => Some(format!("{} · unknown, looking", step.id)),
            _ => None,
        };
        match moves {
            Some(text) => {
                let bar = self.moving.entry(i).or_insert_with(|| {
                    let bar = self.bars.insert_before(&self.clock, ProgressBar::new_spinner());
                    bar.set_style(style("  {spinner} {msg}"));
                    bar.enable_steady_tick(Duration::from_millis(200));
                    bar
                });
                bar.set_message(text);
            }
            None => {
                if let Some(bar) = self.moving.remove(&i) {
                    bar.finish_and_clear();
                    self.bars.remove(&bar);
                }
            }
        }
        self.ask(state, i);
    }

    /// A question is printed once, with what can be typed right here.
    fn ask(&mut self, state: &State, i: usize) {
        let life = &state.steps[i];
        let waiting = match (&life.life, &life.asked) {
            (_, Some((_, question))) => Some(question.clone()),
            (Life::Failed { reason, .. } | Life::Stuck { reason }, None) if life.tries >= state.step(i).retry.attempts => {
                Some(reason.clone())
            }
            _ => None,
        };
        match waiting {
            Some(text) if self.asked.get(&i) != Some(&text) => {
                let mut block =
                    format!("\n  ? {}: {}\n    Type here, or in another terminal:\n", state.step(i).id, lines_to_one(&text, 500));
                for choice in words::choices(state, i) {
                    block.push_str(&format!("      {choice}\n"));
                }
                let _ = self.bars.println(self.paint(&block));
                self.asked.insert(i, text);
            }
            Some(_) => {}
            None => {
                self.asked.remove(&i);
            }
        }
    }

    /// Something that is no event.
    pub fn say(&mut self, line: &str) {
        let line = self.paint(line);
        let _ = self.bars.println(line);
    }

    /// Leaves what was printed and takes the rest away.
    pub fn close(&mut self) {
        self.moving.values().for_each(ProgressBar::finish_and_clear);
        self.clock.finish_and_clear();
    }

    fn paint(&self, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match text.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c.is_whitespace()).chars().next() {
            Some('✓' | '★') => "32",
            Some('✗' | '!' | '‽') => "31",
            Some('?' | '☆') => "33",
            _ => return text.to_owned(),
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// The longest way to the end from what is not done.
fn left_ms(state: &State) -> u64 {
    let tail = &state.checked.graph().tail_ms;
    (0..state.steps.len()).filter(|&i| !state.steps[i].settled()).map(|i| tail[i]).max().unwrap_or(0)
}
