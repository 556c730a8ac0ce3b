//! What a broken YAML text looks like to the person who wrote it: the usual mistakes by name, with the line as it
//! should be.

use granit_parser::{ErrorKind, ScanError};

use crate::diagnostic::{Diagnostic, Edit, Near, nearest};
use crate::source::{SourceId, Span};

/// The finding for a text that the parser gave up on. `open` are the starts of the `{` and `[` that were open.
pub fn finding(source: SourceId, text: &str, error: &ScanError, open: &[Span]) -> Diagnostic {
    let offset = error.marker().byte_offset().unwrap_or_else(|| byte_of(text, error.marker().index())).min(text.len());
    let line = Line::at(text, offset);
    let here = |start: usize, len: usize| Span { source, start: start as u32, end: (start + len) as u32 };
    // The mistake is often on the line above the one where the parser noticed.
    for line in [Some(line), line.previous(text)].into_iter().flatten() {
        if let Some((at, len, value)) = line.unquoted_reference() {
            let found =
                Diagnostic::deny("yaml", "`${…}` inside `{ }` or `[ ]` without quotes", here(at, len), "YAML reads this `{` as a map");
            return into_quotes(found, &line, value);
        }
    }
    match error.kind() {
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            let quote = unclosed_quote(text, offset);
            Diagnostic::deny("yaml", "a quote is never closed", here(quote, 1), "this quote begins a text that does not end")
                .help("close the text with the same quote")
        }
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation | ErrorKind::TabAtBlockScalarStart => {
            let at = line.text.find('\t').map_or(offset, |i| line.start + i);
            Diagnostic::deny("yaml", "a tab where only spaces may stand", here(at, 1), "this is a tab").help("indent with spaces")
        }
        _ if line.text.contains('\t') && line.text.trim_start_matches(' ').starts_with('\t') => {
            let at = line.start + line.text.find('\t').unwrap_or(0);
            Diagnostic::deny("yaml", "a tab where only spaces may stand", here(at, 1), "this is a tab").help("indent with spaces")
        }
        ErrorKind::MissingAnchorOrAliasName => {
            // The parser stands on the sign or just behind it.
            let behind = !text[offset..].starts_with(['*', '&']);
            star(here(offset - usize::from(behind && offset > line.start), 1), &line)
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::MismatchedFlowCollectionEnd { .. }
            if !open.is_empty() =>
        {
            let start = open[open.len() - 1].start as usize;
            let bracket = text[start..].chars().next().unwrap_or('{');
            let close = if bracket == '[' { "]" } else { "}" };
            Diagnostic::deny("yaml", format!("`{bracket}` is never closed, or a comma is missing"), here(start, 1), "opened here")
                .also(here(offset, 0), "the reader gave up here")
                .help(format!("close it with `{close}`, and put `,` between its parts"))
        }
        _ => match line.second_colon() {
            Some((at, value)) => {
                let found =
                    Diagnostic::deny("yaml", "a text with `: ` in it needs quotes", here(at, 1), "this colon would begin another key");
                let found = into_quotes(found, &line, value);
                // Where the text ends is known only if it ends on its line.
                if open.is_empty() && !line.goes_on(text) { found } else { Diagnostic { fix: None, ..found } }
            }
            None => {
                Diagnostic::deny("yaml", format!("this is not YAML: {}", plain_words(error)), here(offset, 0), "the reader gave up here")
                    .help("check the indentation and the quotes of this line and of the one above")
            }
        },
    }
}

/// The finding for `*name` without an `&name` before it; a cron line without quotes is the usual reason.
pub fn unknown_alias(source: SourceId, text: &str, name: &str, at: Span) -> Diagnostic {
    let line = Line::at(text, at.start as usize);
    let rest = text[at.end as usize..].trim_start_matches(' ');
    let cron = rest.len() < text.len() - at.end as usize && rest.starts_with(|c: char| c == '*' || c.is_ascii_digit());
    if name.starts_with('/') || cron {
        return star(Span { source, start: at.start, end: at.start + 1 }, &line);
    }
    let anchors: Vec<&str> =
        text.split('&').skip(1).filter_map(|t| t.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').next()).collect();
    let found = Diagnostic::deny("yaml", format!("no anchor `&{name}` stands above"), at, "this alias stands for nothing");
    match nearest(name, anchors) {
        Some(near) => found.write(Near { word: &format!("*{near}"), ..near }),
        None => found.help("put a text that begins with `*` into quotes"),
    }
}

fn star(at: Span, line: &Line<'_>) -> Diagnostic {
    let found = Diagnostic::deny("yaml", "a text that begins with `*` or `&` needs quotes", at, "YAML reads this as an alias or an anchor");
    let from = at.start as usize - line.start;
    let (before, value) = (&line.text[..from], line.text[from..].split(" #").next().unwrap_or(""));
    let flow = before.matches(['{', '[']).count() > before.matches(['}', ']']).count();
    let value = if flow { value.split(", ").next().unwrap_or(value) } else { value };
    let value = value.trim_end().trim_end_matches([',', '}', ']']).trim_end();
    into_quotes(found, line, (from, from + value.len()))
}

/// Says how the line is written with quotes round a part of it, and carries that as the repair.
fn into_quotes(found: Diagnostic, line: &Line<'_>, (from, to): (usize, usize)) -> Diagnostic {
    let quoted = format!("\"{}\"", line.text[from..to].replace('\\', "\\\\").replace('"', "\\\""));
    let what = format!("put it into quotes: `{}{quoted}{}`", line.text[..from].trim_start(), without_comment(&line.text[to..]));
    let at = Span { source: found.span().source, start: (line.start + from) as u32, end: (line.start + to) as u32 };
    found.help(&what).fix(what, [Edit::new(at, quoted)])
}

fn without_comment(rest: &str) -> &str {
    rest.split(" #").next().unwrap_or(rest).trim_end()
}

#[derive(Clone, Copy)]
struct Line<'a> {
    start: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn at(text: &'a str, offset: usize) -> Line<'a> {
        let start = text[..offset].rfind('\n').map_or(0, |i| i + 1);
        let end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        Line { start, text: text[start..end].trim_end_matches('\r') }
    }

    fn previous(&self, text: &'a str) -> Option<Line<'a>> {
        (self.start > 0).then(|| Line::at(text, self.start - 1))
    }

    /// Whether the next line is indented deeper, so that a text of this one may go on there.
    fn goes_on(&self, text: &str) -> bool {
        let indent = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
        let next = text.get(self.start + self.text.len()..).unwrap_or("").lines().find(|l| !l.trim().is_empty());
        next.is_some_and(|next| indent(next) > indent(self.text))
    }

    /// A `${…}` outside quotes, within `{` or `[`: its offset, its length, and from where to where in the line its text goes.
    fn unquoted_reference(&self) -> Option<(usize, usize, (usize, usize))> {
        let bytes = self.text.as_bytes();
        let (mut quote, mut depth) = (None, 0usize);
        for (i, &b) in bytes.iter().enumerate() {
            match (quote, b) {
                (Some(q), _) if b == q => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(b),
                (None, b'#') if i > 0 && bytes[i - 1] == b' ' => return None,
                (None, b'{') if i > 0 && bytes[i - 1] == b'$' && depth > 0 => {
                    let from = self.text[..i - 1].rfind([' ', ',', '[', '{']).map_or(0, |j| j + 1);
                    let close = self.text[i..].find('}').map_or(self.text.len(), |j| i + j + 1);
                    let to = self.text[close..].find([' ', ',', ']', '}']).map_or(self.text.len(), |j| close + j);
                    return Some((self.start + i - 1, close - (i - 1), (from, to)));
                }
                (None, b'{' | b'[') => depth += 1,
                (None, b'}' | b']') => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }

    /// `key: a text: with a colon` → the second colon, and from where to where in the line the text goes.
    fn second_colon(&self) -> Option<(usize, (usize, usize))> {
        let (key, value) = self.text.split_once(": ")?;
        let value = value.split(" #").next().unwrap_or(value).trim_end();
        if value.starts_with(['"', '\'', '{', '[', '|', '>']) {
            return None;
        }
        let (at, from) = (value.find(": ")?, key.len() + 2);
        Some((self.start + from + at, (from, from + value.len())))
    }
}

/// The quote that a text which runs to its end was begun with: the last one with which a value begins.
fn unclosed_quote(text: &str, offset: usize) -> usize {
    let bytes = text.as_bytes();
    if bytes.get(offset).is_some_and(|b| matches!(b, b'"' | b'\'')) {
        return offset;
    }
    let mut open = None;
    let mut i = 0;
    while i < bytes.len() {
        match (open, bytes[i]) {
            (None, b'#') if i == 0 || bytes[i - 1].is_ascii_whitespace() => {
                i = text[i..].find('\n').map_or(bytes.len(), |n| i + n);
            }
            (None, q @ (b'"' | b'\'')) if i == 0 || matches!(bytes[i - 1], b' ' | b'[' | b'{' | b',' | b'\n' | b'\t') => {
                open = Some((i, q))
            }
            (Some((_, b'"')), b'\\') => i += 1,
            (Some((_, q)), b) if q == b => open = None,
            _ => {}
        }
        i += 1;
    }
    open.map_or(offset, |(at, _)| at)
}

fn byte_of(text: &str, chars: usize) -> usize {
    text.char_indices().nth(chars).map_or(text.len(), |(i, _)| i)
}

fn plain_words(error: &ScanError) -> String {
    match error.kind() {
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => "a key without `:`, or a text that is broken over lines".to_owned(),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => "this line is not indented like its neighbours".to_owned(),
        ErrorKind::ExpectedBlockSequenceEntry => "a list item without `- `".to_owned(),
        ErrorKind::UnexpectedCharacter { character } => format!("a text cannot begin with `{character}` unless it is quoted"),
        ErrorKind::RecursionLimitExceeded => "nested too deeply".to_owned(),
        ErrorKind::BomInsideDocument => "a byte-order mark in the middle of the text".to_owned(),
        ErrorKind::UnknownQuotedScalarEscape => "an unknown escape in a quoted text; write `\\\\` for a backslash".to_owned(),
        ErrorKind::InvalidTrailingDoubleQuotedScalar | ErrorKind::InvalidTrailingSingleQuotedScalar => {
            "something stands after a closing quote".to_owned()
        }
        _ => error.info(),
    }
}
