//! The lines that a finding is about, as they fit on a screen: long ones are cut around what is meant, with `…` where
//! something is left out, and nothing in them is obeyed by a terminal. It knows no more of drawing than how wide things are.

use std::collections::BTreeMap;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use textwrap::{Options, WordSeparator, WordSplitter};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::diagnostic::{Diagnostic, Label};
use crate::source::{Source, SourceId, Sources, obeyed};

/// What stands for what is left out.
const CUT: char = '…';
/// Columns of a tab.
const TAB: usize = 4;
/// Columns of the corner that leads from a place to its words.
const CORNER: usize = 4;
/// Columns that words beside a place have at least, if they need them.
const LEAST: usize = 24;

/// Lines of one or several texts, as a text of its own.
pub struct Excerpt<'a> {
    sources: &'a Sources,
    text: String,
    lines: Vec<Line>,
    /// As they are drawn; the first is the finding's own.
    pub labels: Vec<Drawn>,
}

/// One line in it.
struct Line {
    source: SourceId,
    /// From 1, in its source.
    number: usize,
    /// Bytes of the excerpt, with the line break.
    range: (usize, usize),
}

/// A label in it.
pub struct Drawn {
    /// First byte in the excerpt, and how many.
    pub place: (usize, usize),
    /// Its words, folded.
    pub text: String,
    /// Where it stands in its source, both from 0.
    at: (usize, usize),
}

/// Lines at which a label stands are drawn with so many around them.
pub const AROUND: usize = 1;

impl<'a> Excerpt<'a> {
    /// The lines of a finding's places, at most so many columns wide with their numbers.
    pub fn of(found: &Diagnostic, sources: &'a Sources, width: usize) -> Excerpt<'a> {
        let mut excerpt = Excerpt { sources, text: String::new(), lines: Vec::new(), labels: Vec::new() };
        let own = found.span().source;
        // By line, the finding's own text first; each line with the labels that begin on it.
        let mut lines: BTreeMap<(bool, SourceId, usize), Vec<usize>> = BTreeMap::new();
        for (i, label) in found.labels.iter().enumerate() {
            let source = sources.get(label.span.source);
            let number = source.line_col(label.span.start).0;
            // Behind the last line break nothing stands.
            let last = source.line_count() - usize::from(source.text.ends_with('\n'));
            for near in number.saturating_sub(AROUND).max(1)..=(number + AROUND).min(last).max(number) {
                let at = lines.entry((label.span.source != own, label.span.source, near)).or_default();
                at.extend((near == number).then_some(i));
            }
        }
        let digits = lines.keys().map(|key| key.2.to_string().len()).max().unwrap_or(1);
        let columns = width.saturating_sub(digits + 4).max(20);
        let mut drawn: BTreeMap<usize, Drawn> = BTreeMap::new();
        for ((_, id, number), labels) in lines {
            let source = sources.get(id);
            let labels: Vec<(usize, &Label)> = labels.into_iter().map(|i| (i, &found.labels[i])).collect();
            excerpt.line(source, id, number, columns, &labels, &mut drawn);
        }
        excerpt.labels = drawn.into_values().collect();
        excerpt
    }

    fn line(
        &mut self,
        source: &Source,
        id: SourceId,
        number: usize,
        columns: usize,
        labels: &[(usize, &Label)],
        drawn: &mut BTreeMap<usize, Drawn>,
    ) {
        let (start, end) = source.line_range(number);
        let line = &*source.shown(start, end);
        // What goes on over several lines is shown by its first.
        let byte = |offset: u32| line.floor_char_boundary((offset as usize).saturating_sub(start));
        let places: Vec<(usize, usize)> = labels.iter().map(|(_, l)| (byte(l.span.start), byte(l.span.end))).collect();
        let wanted = labels.iter().map(|(_, l)| l.text.width()).max().unwrap_or(0);
        let from = places.iter().min().map_or(0, |&(s, _)| {
            let last = places.iter().map(|p| p.1).max().unwrap_or(s);
            first_shown(line, s, last, columns, wanted)
        });
        let begin = self.text.len();
        let shown = Shown::new(line, from, columns);
        self.text.push_str(&shown.text);
        self.text.push('\n');
        self.lines.push(Line { source: id, number, range: (begin, self.text.len()) });
        for (&(i, label), (s, e)) in labels.iter().zip(places) {
            let last = shown.now(e);
            // A place beyond the end is shown by the `…`.
            let first = if s < e { shown.now(s).min(shown.end()) } else { last };
            let (left, right) = (shown.text[..first].width(), shown.text[..last].width());
            let room = columns.saturating_sub((left + right) / 2 + CORNER).max(LEAST / 2);
            let at = source.line_col(label.span.start);
            let place = (begin + first, last - first);
            drawn.insert(i, Drawn { place, text: folded(&plain(&label.text), room), at: (at.0 - 1, at.1 - 1) });
        }
    }

    fn line_of(&self, offset: usize) -> Option<usize> {
        let at = self.lines.partition_point(|l| l.range.0 <= offset).checked_sub(1)?;
        (offset < self.lines[at].range.1).then_some(at)
    }

    /// Whether one line stands directly below another in their text.
    fn joined(&self, above: usize, below: usize) -> bool {
        let (a, b) = (&self.lines[above], &self.lines[below]);
        a.source == b.source && a.number + 1 == b.number
    }
}

impl SourceCode for Excerpt<'_> {
    fn read_span<'b>(&'b self, span: &SourceSpan, before: usize, after: usize) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        let (start, end) = (span.offset(), span.offset() + span.len());
        let (Some(first), Some(last)) = (self.line_of(start), self.line_of(end)) else { return Err(MietteError::OutOfBounds) };
        if !(first..last).all(|i| self.joined(i, i + 1)) {
            return Err(MietteError::OutOfBounds);
        }
        let name = self.sources.get(self.lines[first].source).name.clone();
        if before == 0 && after == 0 {
            // The place itself is asked for, to name it: as it stands in its own text.
            let known = self.labels.iter().find(|l| l.place == (start, end - start)).map_or((self.lines[first].number - 1, 0), |l| l.at);
            let data = &self.text.as_bytes()[start..end];
            return Ok(Box::new(MietteSpanContents::new_named(plain(&name), data, *span, known.0, known.1, 1)));
        }
        let from = (first.saturating_sub(before)..first).rev().take_while(|&i| self.joined(i, i + 1)).last().unwrap_or(first);
        let to = (last + 1..=(last + after).min(self.lines.len() - 1)).take_while(|&i| self.joined(i - 1, i)).last().unwrap_or(last);
        let (begin, finish) = (self.lines[from].range.0, self.lines[to].range.1);
        let data = &self.text.as_bytes()[begin..finish];
        let span = (begin, finish - begin).into();
        // Two labels are drawn apart if the second begins after so many lines.
        Ok(Box::new(MietteSpanContents::new_named(plain(&name), data, span, self.lines[from].number - 1, 0, to - from + 1)))
    }
}

/// A text in which nothing is obeyed, line breaks apart.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if obeyed(c) && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// How lines are folded at words: only at spaces, and no word is broken.
pub fn folded(text: &str, columns: usize) -> String {
    let options = Options::new(columns).break_words(false).word_separator(WordSeparator::AsciiSpace);
    textwrap::wrap(text, options.word_splitter(WordSplitter::NoHyphenation)).join("\n")
}

/// How wide a character is drawn.
fn wide(c: char) -> usize {
    match c {
        '\t' => TAB,
        _ if obeyed(c) => 1,
        _ => c.width().unwrap_or(0),
    }
}

/// The byte from which on a line is drawn, so that a place on it is seen and its words have room beside it. The beginning of
/// a line is shown rather than its end.
fn first_shown(line: &str, start: usize, end: usize, columns: usize, words: usize) -> usize {
    // No line is walked along further than a screen is wide.
    let width = |text: &str| {
        text.chars()
            .map(wide)
            .scan(0, |used, w| {
                *used += w;
                (*used <= 4 * columns).then_some(w)
            })
            .sum::<usize>()
    };
    let (place, rest) = (width(&line[start..end]), width(&line[start..]));
    let words = place / 2 + CORNER + words.min(columns / 2).max(LEAST.min(words));
    let before = if start <= 4 * columns { width(&line[..start]) } else { usize::MAX };
    let fits = |after: usize| before.saturating_add(after) <= columns;
    if fits(place + 1) && fits(words) {
        return 0;
    }
    // As much as what follows leaves, and a quarter of the screen in any case; the `…` takes a column.
    let room = columns.saturating_sub(1 + rest.max(words)).max(columns / 4);
    let mut used = 0;
    let shown = line[..start].char_indices().rev().take_while(|(_, c)| {
        used += wide(*c);
        used < room
    });
    shown.last().map_or(start, |(i, _)| i)
}

/// A part of a line as it is drawn.
struct Shown {
    text: String,
    /// Bytes of the line and where they are drawn, in order.
    map: Vec<(usize, usize)>,
}

impl Shown {
    fn new(line: &str, from: usize, columns: usize) -> Shown {
        let mut shown = Shown { text: String::new(), map: Vec::new() };
        let mut used = usize::from(from > 0);
        if from > 0 {
            shown.text.push(CUT);
        }
        let mut rest = line[from..].char_indices().peekable();
        while let Some((i, c)) = rest.next() {
            let width = wide(c);
            // Where more comes, the last column is for the `…`.
            if used + width > columns || (used + width == columns && rest.peek().is_some()) {
                shown.map.push((from + i, shown.text.len()));
                shown.text.push(CUT);
                return shown;
            }
            used += width;
            shown.map.push((from + i, shown.text.len()));
            match c {
                '\t' => shown.text.push_str(&" ".repeat(TAB)),
                c if obeyed(c) => shown.text.push('\u{fffd}'),
                c => shown.text.push(c),
            }
        }
        shown.map.push((line.len(), shown.text.len()));
        shown
    }

    /// Where a byte of the line is drawn; what is cut off lies at the `…`.
    fn now(&self, byte: usize) -> usize {
        match self.map.get(self.map.partition_point(|m| m.0 < byte)) {
            Some(m) if m.0 == byte => m.1,
            Some(_) => 0,
            None => self.text.len(),
        }
    }

    /// Where the line ends, or is cut off.
    fn end(&self) -> usize {
        self.map.last().map_or(0, |m| m.1)
    }
}
