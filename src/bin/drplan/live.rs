//! A run at a terminal: finished steps scroll by, what moves stays at the bottom. It draws, and does not know what is
//! shown there.

use drplan::execute::State;
use drplan::journal::{Entry, Event};
use drplan::report::{Story, lines};
use drplan::source::harmless;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::board::{self, Earlier};
use crate::next::Asking;
use crate::output;
use crate::screen;

/// How often the clock is drawn while nothing moves: what a person types stands on the same line.
const STILL_MS: u64 = 15_000;

/// The screen.
pub struct Live {
    story: Option<Story>,
    bars: MultiProgress,
    rows: Vec<ProgressBar>,
    asking: Asking,
    earlier: Earlier,
    changed: Option<Timestamp>,
    drawn: Option<Timestamp>,
    /// Answers can be typed here.
    typed: bool,
    color: bool,
}

impl Live {
    /// An empty screen.
    pub fn new(color: bool, typed: bool, earlier: Earlier) -> Live {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        Live { story: None, bars, rows: Vec::new(), asking: Asking::default(), earlier, changed: None, drawn: None, typed, color }
    }

    /// An event.
    pub fn entry(&mut self, entry: &Entry, state: &State) {
        let story = screen::tell(&mut self.story, entry, state);
        let shown = !matches!(entry.event, Event::Intent { .. } | Event::Asked { .. });
        if let Some(line) = lines::line(story, entry).filter(|_| shown) {
            self.say(&line);
        }
        self.changed = Some(entry.at);
        self.tick(state, entry.at);
    }

    /// Time passed.
    pub fn tick(&mut self, state: &State, now: Timestamp) {
        self.ask(state);
        // What just changed is drawn a few times: the screen takes ten pictures a second and leaves the rest out.
        let settled = |drawn: Timestamp| self.changed.is_none_or(|changed| lines::since_ms(changed, drawn) > 1000);
        let fresh = self.drawn.is_some_and(|drawn| settled(drawn) && lines::since_ms(drawn, now) < STILL_MS);
        if self.typed && fresh && board::stands_still(state) {
            return;
        }
        self.drawn = Some(now);
        let rows = if state.finished.is_some() { Vec::new() } else { board::lines(state, now, &self.earlier) };
        while self.rows.len() > rows.len() {
            self.rows.pop().into_iter().for_each(|bar| self.drop_row(&bar));
        }
        while self.rows.len() < rows.len() {
            let bar = self.bars.add(ProgressBar::new_spinner());
            // Cut at the edge of the screen: a line that breaks would be drawn again and again.
            bar.set_style(ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            self.rows.push(bar);
        }
        for (bar, row) in self.rows.iter().zip(rows) {
            bar.set_message(self.paint(&row));
        }
    }

    /// A question is printed once, with what can be typed.
    fn ask(&mut self, state: &State) {
        let place = if self.typed { "here, or in another terminal" } else { "in another terminal" };
        for block in self.asking.fresh(state, place) {
            self.say(&block);
        }
    }

    /// Something that scrolls by.
    pub fn say(&mut self, text: &str) {
        let line = self.paint(text);
        let _ = self.bars.println(line);
    }

    /// A line was typed. The last row fills its line: what is typed stands on the next one, and Enter goes on to a
    /// third; what is drawn next begins where the last row ends.
    pub fn typed(&self, line: &str) {
        output::painted(if line.is_empty() { "\x1b[1A" } else { "\x1b[2A" });
    }

    /// Leaves what was printed and takes the rest away.
    pub fn close(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        rows.iter().for_each(|bar| self.drop_row(bar));
    }

    fn drop_row(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.bars.remove(bar);
    }

    fn paint(&self, text: &str) -> String {
        let text = harmless(text);
        if !self.color {
            return text;
        }
        let code = match text.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c.is_whitespace()).chars().next() {
            Some('✓' | '★') => "32",
            Some('✗' | '!' | '‽') => "31",
            Some('?' | '☆' | '↻') => "33",
            _ => return text,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
