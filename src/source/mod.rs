//! Texts and places in them. It knows where a byte stands, not what it means.

use std::borrow::Cow;

/// Which text a place is in: an index into [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SourceId(pub u32);

/// A half-open range of bytes in one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// First byte after it.
    pub end: u32,
}

impl Span {
    /// The smallest place that covers both; `other` must be in the same text.
    pub fn to(self, other: Span) -> Span {
        Span { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// Whether a terminal or a browser would obey a character instead of showing it: control characters, those that turn the
/// direction of writing round, those that nobody sees.
pub fn obeyed(c: char) -> bool {
    let tags = '\u{e0000}'..='\u{e007f}';
    let marks = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    c.is_control() || marks || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}') || tags.contains(&c)
}

/// A text of several lines in which nothing is obeyed but line breaks and tabs.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if obeyed(c) && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

/// One text with its name and the start of each of its lines.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path as the person typed it.
    pub name: String,
    /// The whole text.
    pub text: String,
    lines: Vec<u32>,
    /// Every character is a byte, so that nobody need count along a line of megabytes.
    ascii: bool,
    /// What is not shown, in order.
    veiled: Vec<(u32, u32)>,
}

impl Source {
    /// Line and column of a byte, both from 1; columns count characters.
    pub fn line_col(&self, offset: u32) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start <= offset) - 1;
        let start = self.lines[line] as usize;
        let end = (offset as usize).min(self.text.len());
        let count = |text: &str| if self.ascii { text.len() } else { text.chars().count() };
        let col = self.text.get(start..end).map_or(end - start, count);
        // Nobody counts the byte-order mark.
        let mark = usize::from(line == 0 && end > 0 && self.text.starts_with('\u{feff}'));
        (line + 1, col + 1 - mark.min(col))
    }

    /// Byte range of a line counted from 1, without its line break.
    pub fn line_range(&self, line: usize) -> (usize, usize) {
        let start = self.lines[line - 1] as usize;
        // The byte-order mark is no part of it.
        let start = if line == 1 && self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { start };
        let end = self.lines.get(line).map_or(self.text.len(), |&e| e as usize);
        let body = self.text[start..end].trim_end_matches(['\n', '\r']);
        (start, start + body.len())
    }

    /// A part of the text as it may be shown: what is veiled is `…`, every byte at its place.
    pub fn shown(&self, start: usize, end: usize) -> Cow<'_, str> {
        let text = &self.text[start..end];
        let from = self.veiled.partition_point(|v| v.1 as usize <= start);
        let mut veiled = self.veiled[from..].iter().take_while(|v| (v.0 as usize) < end).peekable();
        if veiled.peek().is_none() {
            return Cow::Borrowed(text);
        }
        let (mut out, mut at) = (String::with_capacity(text.len()), start);
        for &(first, last) in veiled {
            let (first, last) = ((first as usize).clamp(at, end), (last as usize).clamp(at, end));
            out.push_str(&self.text[at..first]);
            out.push_str(&"…".repeat((last - first) / '…'.len_utf8()));
            out.push_str(&".".repeat((last - first) % '…'.len_utf8()));
            at = last;
        }
        out.push_str(&self.text[at..end]);
        Cow::Owned(out)
    }

    /// Number of lines.
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }
}

/// Every text of one compilation.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    all: Vec<Source>,
}

impl Sources {
    /// Adds a text and returns its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.bytes().zip(1u32..).filter(|(b, _)| *b == b'\n').map(|(_, next)| next)).collect();
        self.all.push(Source { name: name.into(), ascii: text.is_ascii(), text, lines, veiled: Vec::new() });
        SourceId(self.all.len() as u32 - 1)
    }

    /// Never shows these places again.
    pub fn veil(&mut self, places: impl IntoIterator<Item = Span>) {
        for place in places {
            self.all[place.source.0 as usize].veiled.push((place.start, place.end));
        }
        for source in &mut self.all {
            source.veiled.sort_unstable();
            source.veiled.dedup();
        }
    }

    /// All ids, in the order in which texts were added.
    pub fn ids(&self) -> impl Iterator<Item = SourceId> + use<> {
        (0..self.all.len() as u32).map(SourceId)
    }

    /// The text of an id that this value gave.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.all[id.0 as usize]
    }

    /// The text from a place's beginning to its end, or to the end of the text that it is in.
    pub fn starting_at(&self, span: Span) -> &str {
        let text = &self.get(span.source).text;
        let mut end = (span.end as usize).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.get(span.start as usize..end).unwrap_or("")
    }

    /// The bytes at a place.
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.source).text.get(span.start as usize..span.end as usize).unwrap_or("")
    }
}
