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
        let words: Vec<usize> = labels.iter().map(|(_, l)| l.text.width()).collect();
        let parts = parts(line, &places, &words, columns);
        let begin = self.text.len();
        let shown = Shown::new(line, &parts);
        self.text.push_str(&shown.text);
        self.text.push('\n');
        self.lines.push(Line { source: id, number, range: (begin, self.text.len()) });
        for (&(i, label), (s, e)) in labels.iter().zip(places) {
            let (first, last) = (shown.now(s, false), shown.now(e, s < e));
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

/// Which parts of a line are drawn: from which byte on, and up to which column. The places on it are seen and their words
/// have room beside them; places far apart are drawn with the middle left out.
fn parts(line: &str, places: &[(usize, usize)], words: &[usize], columns: usize) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_unstable_by_key(|&i| places[i]);
    let (Some(&first), Some(&last)) = (order.first(), order.last()) else { return vec![(0, columns)] };
    // What stands behind the beginning of the first place: each place, and its words from its middle on.
    let start = places[first].0;
    let behind = |i: usize| {
        let (s, e) = places[i];
        let (before, place) = (width(&line[start..s], columns), width(&line[s..e], columns));
        let words = words[i].min(columns / 2).max(LEAST.min(words[i]));
        before + (place + 1).max(place / 2 + CORNER + words)
    };
    let most = order.iter().map(|&i| behind(i)).max().unwrap_or(0);
    let before = if start <= 4 * columns { width(&line[..start], columns) } else { 4 * columns };
    if before + most <= columns {
        return vec![(0, columns)];
    }
    if most < columns || first == last {
        // As much as what follows leaves, and a quarter of the screen if it can be; the `…` takes a column.
        let rest = width(&line[start..], columns);
        let least = if first == last { columns / 4 } else { (columns - 1).saturating_sub(most).min(columns / 4) };
        return vec![(back(line, start, columns.saturating_sub(1 + rest.max(most)).max(least)), columns)];
    }
    let half = columns / 2;
    let mut all = parts(line, &places[first..=first], &words[first..=first], half);
    all.push((back(line, places[last].0, columns / 8), columns));
    all
}

/// How wide a text is; of one that is much wider than the screen, no more than that.
fn width(text: &str, columns: usize) -> usize {
    let mut used = 0;
    for c in text.chars() {
        used += wide(c);
        if used > 4 * columns {
            break;
        }
    }
    used
}

/// The byte less than so many columns before another.
fn back(line: &str, from: usize, columns: usize) -> usize {
    let mut used = 0;
    let shown = line[..from].char_indices().rev().take_while(|(_, c)| {
        used += wide(*c);
        used < columns
    });
    shown.last().map_or(from, |(i, _)| i)
}

/// Parts of a line as they are drawn.
struct Shown {
    text: String,
    /// Bytes of the line and where they are drawn, in order; true where what follows is left out.
    map: Vec<(usize, usize, bool)>,
}

impl Shown {
    fn new(line: &str, parts: &[(usize, usize)]) -> Shown {
        let mut shown = Shown { text: String::new(), map: Vec::new() };
        let (mut used, mut next) = (0, 0);
        for (n, &(from, columns)) in parts.iter().enumerate() {
            if from > next {
                shown.cut(next);
                used += 1;
            }
            next = from.max(next);
            let begin = next;
            for (i, c) in line[begin..].char_indices() {
                let (wide, after) = (wide(c), begin + i + c.len_utf8());
                // Where more comes, the last column is for the `…`.
                let full = after < line.len() && n + 1 == parts.len();
                if used + wide + usize::from(full) > columns {
                    break;
                }
                used += wide;
                shown.push(begin + i, c);
                next = after;
            }
        }
        match next < line.len() {
            true => shown.cut(next),
            false => shown.map.push((line.len(), shown.text.len(), false)),
        }
        shown
    }

    fn push(&mut self, at: usize, c: char) {
        self.map.push((at, self.text.len(), false));
        match c {
            '\t' => self.text.push_str(&" ".repeat(TAB)),
            c if obeyed(c) => self.text.push('\u{fffd}'),
            c => self.text.push(c),
        }
    }

    fn cut(&mut self, at: usize) {
        self.map.push((at, self.text.len(), true));
        self.text.push(CUT);
    }

    /// Where a byte of the line is drawn, as the beginning or the end of a place; what is left out lies at the `…`.
    fn now(&self, byte: usize, end: bool) -> usize {
        let at = self.map.partition_point(|m| m.0 <= byte).saturating_sub(1);
        match self.map.get(at) {
            Some(&(from, to, true)) => to + if end && byte > from { CUT.len_utf8() } else { 0 },
            Some(&(_, to, false)) => to,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::emit::{Look, human};
    use crate::source::Span;

    /// Numbers that look like chance and are the same every time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) as usize % n.max(1)
        }
    }

    #[test]
    fn nothing_is_wider_than_the_screen_and_every_place_is_on_it() {
        let mut dice = Dice(7);
        for round in 0..3000 {
            let alphabet: Vec<char> = "ab c:{},-é日本🚒\t\u{301}\u{7}".chars().collect();
            let length = [0, 3, 60, 200, 3000][dice.below(5)];
            let line: String = (0..length).map(|_| alphabet[dice.below(alphabet.len())]).collect();
            let text = format!("above\n{line}\r\nbelow {}\n", "x".repeat(dice.below(200)));
            let mut sources = Sources::default();
            let source = sources.add("p", &*text);
            let mut span = || {
                let (a, b) = (6 + dice.below(line.len() + 1), 6 + dice.below(line.len() + 1));
                let at = |i: usize| text.floor_char_boundary(i) as u32;
                Span { source, start: at(a.min(b)), end: at(a.max(b)) }
            };
            let mut found = Diagnostic::deny("yaml", "wrong in some way", span(), "these words say what is wrong here, at some length")
                .help("write it otherwise");
            for _ in 0..round % 3 {
                found = found.also(span(), "the other place");
            }
            let width = [40, 60, 80, 160][round % 4];
            let excerpt = Excerpt::of(&found, &sources, width);
            for drawn in &excerpt.labels {
                assert!(excerpt.line_of(drawn.place.0).is_some() && excerpt.line_of(drawn.place.0 + drawn.place.1).is_some());
                assert!(excerpt.text.is_char_boundary(drawn.place.0) && excerpt.text.is_char_boundary(drawn.place.0 + drawn.place.1));
            }
            let out = human(std::slice::from_ref(&found), &sources, Look { width, ..Look::default() });
            assert!(out.contains("these"), "{out}");
            for line in out.lines().filter(|l| l.contains('│') && !l.contains('·')) {
                assert!(line.width() <= width, "round {round}: {} of {width} columns\n{out}", line.width());
            }
        }
    }
}
