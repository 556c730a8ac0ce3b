//! What a broken YAML text looks like to the person who wrote it: the usual mistakes by name, with the line as it
//! should be. It knows which error of the parser may hide which mistake.

use granit_parser::{ErrorKind, ScanError};

use super::line::{Line, Mistake, quoted};
use crate::diagnostic::{Diagnostic, Edit, Near, nearest};
use crate::source::{SourceId, Span};

/// How far up the neighbours of a line are looked for.
const NEIGHBOURS: usize = 1_000;

/// The finding for a text that the parser gave up on. `open` are the starts of the `{` and `[` that were open.
pub fn finding(source: SourceId, text: &str, error: &ScanError, open: &[Span]) -> Diagnostic {
    let offset = error.marker().byte_offset().unwrap_or_else(|| byte_of(text, error.marker().index())).min(text.len());
    let line = Line::at(text, offset);
    let broken = Broken { source, text, kind: error.kind(), offset, line, open };
    let causes = [
        Broken::depth,
        Broken::open_quote,
        Broken::reference,
        Broken::tab,
        Broken::character,
        Broken::sign,
        Broken::escape,
        Broken::half_quoted,
        Broken::space,
        Broken::colon,
        Broken::bracket,
        Broken::tag,
        Broken::indentation,
    ];
    causes.iter().find_map(|cause| cause(&broken)).unwrap_or_else(|| broken.plainly(error))
}

/// The finding for `*name` without an `&name` before it; a cron line without quotes is the usual reason.
pub fn unknown_alias(source: SourceId, text: &str, name: &str, at: Span) -> Diagnostic {
    let rest = text[at.end as usize..].trim_start_matches(' ');
    let cron = rest.len() < text.len() - at.end as usize && rest.starts_with(|c: char| c == '*' || c.is_ascii_digit());
    if name.starts_with('/') || cron {
        return unquoted_sign(Span { end: at.start + 1, ..at }, text);
    }
    let anchors = text.split('&').skip(1).filter_map(|t| t.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').next());
    // Of an anchor bomb the first thousand are enough to find a misspelt one.
    let near = nearest(name, anchors.filter(|a| !a.is_empty()).take(1_000));
    let mut found = Diagnostic::deny("unknown-alias", format!("no anchor `&{name}` stands above"), at, "this alias stands for nothing");
    if let Some(start) = near.and_then(|near| text.find(&format!("&{}", near.word))) {
        let end = start + 1 + near.map_or(0, |near| near.word.len());
        found = found.also(Span { source, start: start as u32, end: end as u32 }, "this anchor");
    }
    match near {
        Some(near) if near.word != name => found.write(Near { word: &format!("*{near}"), ..near }),
        Some(_) => found.help(format!("move `&{name}` above this line: an alias stands for what was written before it")),
        None => found.help(format!("write `&{name}` before the value that it stands for, or put the text into quotes: `\"*{name}\"`")),
    }
}

/// The finding for `{{ … }}` where a value should be.
pub fn double_braces(source: SourceId, text: &str, at: usize) -> Option<Diagnostic> {
    let line = Line::at(text, at);
    Some(template(source, line.double_braces().filter(|m| m.at == at)?))
}

/// The finding for a text with a NUL in it.
pub fn nul(text: &str, at: Span) -> Diagnostic {
    let raw = &text[at.start as usize..at.end as usize];
    let forms = ["\\0", "\\x00", "\\u0000", "\\U00000000", "\0"];
    let hit = forms.iter().filter_map(|f| Some((raw.find(f)?, f.len()))).min();
    let place = hit.map_or(at, |(i, len)| Span { start: at.start + i as u32, end: at.start + (i + len) as u32, ..at });
    let found = Diagnostic::deny("nul", "a text holds a NUL", place, "no program, server or file name takes one");
    match hit {
        Some((i, len)) => {
            let what = format!("leave `{}` out", raw[i..i + len].replace('\0', "the NUL"));
            repaired(found, what, (place.start as usize, place.end as usize, String::new()))
        }
        None => found.help("leave it out"),
    }
}

/// A text, and where and how the parser gave up on it.
struct Broken<'a> {
    source: SourceId,
    text: &'a str,
    kind: &'a ErrorKind,
    offset: usize,
    line: Line<'a>,
    open: &'a [Span],
}

impl<'a> Broken<'a> {
    fn here(&self, start: usize, len: usize) -> Span {
        Span { source: self.source, start: start as u32, end: (start + len) as u32 }
    }

    /// The mistake is often on the line above the one where the parser noticed.
    fn lines(&self) -> impl Iterator<Item = Line<'a>> {
        [Some(self.line), self.line.previous(self.text)].into_iter().flatten()
    }

    /// Whether a line begins within `{` or `[`.
    fn inside(&self, line: &Line<'_>) -> bool {
        self.open.last().is_some_and(|o| (o.start as usize) < line.start)
    }

    fn depth(&self) -> Option<Diagnostic> {
        matches!(self.kind, ErrorKind::RecursionLimitExceeded).then(|| too_deep(self.here(self.offset, 0)))
    }

    fn open_quote(&self) -> Option<Diagnostic> {
        let at = match self.kind {
            ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
                let quotes =
                    Quotes::until(self.text, if self.text[self.offset..].starts_with(['"', '\'']) { self.offset } else { self.text.len() });
                quotes.open.unwrap_or(self.offset)
            }
            // The next quote in the text seems to close it, lines later.
            ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
                let (from, to) = Quotes::until(self.text, self.offset).closed?;
                self.text[from..to].contains('\n').then_some(from)?
            }
            _ => return None,
        };
        let quote = self.text[at..].chars().next().unwrap_or('"');
        let line = Line::at(self.text, at);
        let value = self.text[at..].split(['\n', '\r']).next().unwrap_or("").trim_end();
        // Inside brackets nobody can say where the text was meant to end.
        let fixed = (value.len() < 200 && !line.text.contains(['{', '['])).then(|| format!("`{value}{quote}`"));
        let found =
            Diagnostic::deny("unclosed-quote", "a quote is never closed", self.here(at, 1), "this quote begins a text that does not end");
        Some(found.help(match fixed {
            Some(fixed) => format!("close the text with the same quote: {fixed}"),
            None => format!("close the text with the same quote: `{quote}`"),
        }))
    }

    fn reference(&self) -> Option<Diagnostic> {
        self.lines().find_map(|line| {
            if let Some(mistake) = line.unquoted_reference(self.inside(&line)) {
                let at = self.here(mistake.at, mistake.len);
                let found = Diagnostic::deny(
                    "unquoted-reference",
                    "`${…}` inside `{ }` or `[ ]` without quotes",
                    at,
                    "YAML reads this `{` as a map",
                );
                return Some(repaired(found, format!("put it into quotes: `{}`", mistake.fixed), mistake.edit));
            }
            line.double_braces().map(|mistake| template(self.source, mistake))
        })
    }

    fn tab(&self) -> Option<Diagnostic> {
        let tabs = matches!(
            self.kind,
            ErrorKind::TabNotAllowed
                | ErrorKind::TabInBlockIndentation
                | ErrorKind::TabInIndentation
                | ErrorKind::TabAtBlockScalarStart
                | ErrorKind::TabInPlainScalar
        );
        let below = self.line.next(self.text).filter(|_| tabs);
        let at = self.lines().chain(below).find_map(|line| line.tab());
        let at = at.or_else(|| self.line.text.find('\t').filter(|_| tabs).map(|i| self.line.start + i))?;
        let found = Diagnostic::deny("tab", "a tab where only spaces may stand", self.here(at, 1), "this is a tab");
        Some(found.help("put spaces in its place; `sed -i 's/\\t/  /g' FILE` does so in the whole file"))
    }

    fn character(&self) -> Option<Diagnostic> {
        let ErrorKind::UnexpectedCharacter { character } = self.kind else { return None };
        let c = *character;
        let found = |at| {
            let headline = format!("a character that nobody sees: U+{:04X}", c as u32);
            Diagnostic::deny("hidden-character", headline, at, "a terminal or a browser would obey it").help("leave it out")
        };
        crate::source::obeyed(c).then(|| {
            let at = self.text[self.offset..].find(c).map_or(self.offset, |i| self.offset + i);
            found(self.here(at, c.len_utf8()))
        })
    }

    fn sign(&self) -> Option<Diagnostic> {
        match self.kind {
            ErrorKind::MissingAnchorOrAliasName => {
                // The parser stands on the sign or just behind it.
                let behind = !self.text[self.offset..].starts_with(['*', '&']);
                let at = self.offset - usize::from(behind && self.offset > self.line.start);
                Some(unquoted_sign(self.here(at, 1), self.text))
            }
            ErrorKind::UnexpectedCharacter { character: '@' | '`' | '%' } => Some(unquoted_sign(self.here(self.offset, 1), self.text)),
            _ => None,
        }
    }

    fn escape(&self) -> Option<Diagnostic> {
        let hexadecimal = matches!(
            self.kind,
            ErrorKind::InvalidQuotedScalarHexEscape
                | ErrorKind::InvalidLowSurrogateHexEscape
                | ErrorKind::InvalidLowSurrogate
                | ErrorKind::MissingLowSurrogate
                | ErrorKind::UnpairedLowSurrogate
                | ErrorKind::InvalidUnicodeEscape
        );
        if !hexadecimal && !matches!(self.kind, ErrorKind::UnknownQuotedScalarEscape) {
            return None;
        }
        let quote = self.text[self.offset..].find('"').map(|i| self.offset + i)?;
        let known = if hexadecimal { "0abt\tnvfe \"/\\N_LP\n\r" } else { "0abt\tnvfe \"/\\N_LPxuU\n\r" };
        let mut signs = self.text[quote + 1..].char_indices();
        let at = loop {
            let (i, c) = signs.next()?;
            if c == '\\' && signs.next().is_none_or(|(_, escaped)| !known.contains(escaped)) {
                break quote + 1 + i;
            }
        };
        let escape: String = self.text[at..].chars().take(2).collect();
        let inner = self.text[quote + 1..].split(['\n', '"']).next().unwrap_or("");
        let fixed = if inner.contains('\'') { format!("\"{}\"", inner.replace('\\', "\\\\")) } else { format!("'{inner}'") };
        let closed = self.text[quote + 1 + inner.len()..].starts_with('"') && !inner.ends_with('\\');
        let found = Diagnostic::deny(
            "bad-escape",
            format!("`{escape}` means nothing in double quotes"),
            self.here(at, escape.len()),
            "YAML reads a backslash in double quotes as the beginning of an escape",
        );
        let what = format!("write `{fixed}`");
        Some(if closed { repaired(found, what, (quote, quote + inner.len() + 2, fixed)) } else { found.help(what) })
    }

    fn half_quoted(&self) -> Option<Diagnostic> {
        if !matches!(self.kind, ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar) {
            return None;
        }
        let (from, to) = Quotes::until(self.text, self.offset).closed?;
        let inner = &self.text[from + 1..to - 1];
        let rest = &self.text[to..];
        let flow = !self.open.is_empty();
        let end = rest.find(if flow { &[',', '}', ']', '\n'][..] } else { &['\n'][..] }).unwrap_or(rest.len());
        let rest = rest[..end].split(" #").next().unwrap_or("").trim_end();
        // An apostrophe is part of the word that it stands in.
        let apostrophe = self.text[from..to].ends_with('\'') && rest.starts_with(char::is_alphabetic);
        let whole = format!("{inner}{}{}", if apostrophe { "'" } else { "" }, rest.trim_end_matches(['\'', '"']));
        let found = Diagnostic::deny(
            "half-quoted",
            "something stands behind a closing quote",
            self.here(self.offset, rest.len().saturating_sub(self.offset - to).max(1)),
            "the text has ended before this",
        );
        let found = found.also(self.here(to - 1, 1), "this quote ends it");
        let what = format!("put all of it into quotes: `{}`", quoted(&whole));
        Some(if flow { found.help(what) } else { repaired(found, what, (from, to + rest.len(), quoted(&whole))) })
    }

    fn space(&self) -> Option<Diagnostic> {
        if !self.open.is_empty() {
            return None;
        }
        let Mistake { at, len, fixed, edit } = self.lines().find_map(|line| line.missing_space())?;
        Some(missing_space(self.here(at, len), &self.text[at..at + len], &fixed, edit))
    }

    fn colon(&self) -> Option<Diagnostic> {
        let inside = self.inside(&self.line);
        let Mistake { at, len, fixed, edit } = self.line.second_colon(inside)?;
        let found = Diagnostic::deny(
            "unquoted-colon",
            "a text with `: ` in it needs quotes",
            self.here(at, len),
            "this colon would begin another key",
        );
        let help = format!("put the text into quotes: `{fixed}`");
        // Where the text ends is known only if it ends on its line.
        Some(match (self.open.is_empty(), self.line.goes_on(self.text)) {
            (true, false) => repaired(found, help, edit),
            (true, true) => found.help(help),
            _ => found.help(format!("{help}; if another key begins here, put a `,` before it")),
        })
    }

    fn bracket(&self) -> Option<Diagnostic> {
        let start = self.open.last()?.start as usize;
        let bracket = self.text[start..].chars().next().unwrap_or('{');
        let close = if bracket == '[' { "]" } else { "}" };
        let headline = format!("`{bracket}` is never closed, or a comma is missing");
        let found = Diagnostic::deny("unclosed-bracket", headline, self.here(start, 1), "opened here");
        Some(
            found
                .also(self.here(self.offset, 0), "up to here nothing closes it")
                .help(format!("close it with `{close}`, and put `,` between its parts")),
        )
    }

    fn tag(&self) -> Option<Diagnostic> {
        let tags = matches!(
            self.kind,
            ErrorKind::UndeclaredTagHandle
                | ErrorKind::InvalidTagTerminator
                | ErrorKind::MissingTagUri
                | ErrorKind::UnclosedVerbatimTag
                | ErrorKind::InvalidTagEscape
        );
        let at = self.line.text.find('!').filter(|_| tags)? + self.line.start;
        let tag = self.text[at..].split([' ', '\n', '\r', ',']).next().unwrap_or("!");
        Some(custom_tag(tag, self.here(at, tag.len())))
    }

    fn indentation(&self) -> Option<Diagnostic> {
        let odd = self.line;
        let (indent, words) = (odd.indent(), odd.words());
        let dash = words.starts_with("- ");
        let place = self.here(odd.start + indent, words.len().min(words.find([':', ' ']).unwrap_or(words.len()).max(1)));
        let begins = dash || words.contains(": ") || words.ends_with(':');
        let above = odd.previous(self.text)?;
        if !begins && !words.is_empty() {
            let key = above.words().split(':').next().unwrap_or("").trim_start_matches("- ").to_owned();
            let found = Diagnostic::deny(
                "indentation",
                "this line is neither a key nor part of the text above it",
                place,
                "no `key: ` begins here",
            );
            let deeper = above.columns().last().map_or(2, |c| c + 2);
            let found = found
                .also(self.here(above.start + above.indent(), above.words().len()), "if it goes on with this, it is not indented enough");
            return Some(found.help(format!("put {deeper} spaces before it to go on with `{key}`, or give it a key")));
        }
        // Lines that hold this one, and those beside it.
        let (mut line, mut lowest) = (Some(above), usize::MAX);
        let mut near: Option<(usize, Line<'_>)> = None;
        for _ in 0..NEIGHBOURS {
            let Some(up) = line.filter(|_| lowest > 0) else { break };
            if up.indent() < lowest {
                lowest = up.indent();
                let columns = up.columns();
                let (word, dashes) = columns.split_last().unwrap_or((&lowest, &[]));
                // A dash stands below a dash, a key below a key.
                for &column in if dash { dashes } else { std::slice::from_ref(word) } {
                    if near.is_none_or(|(best, _)| column.abs_diff(indent) < best.abs_diff(indent)) {
                        near = Some((column, up));
                    }
                }
            }
            line = up.previous(self.text);
        }
        let (column, neighbour) = near.filter(|(column, _)| *column != indent)?;
        let spaces = |n: usize| if n == 1 { "1 space".to_owned() } else { format!("{n} spaces") };
        let word = neighbour.words().trim_start_matches("- ").split([':', ' ']).next().unwrap_or("");
        let label = format!("{} before it", spaces(indent));
        let found = Diagnostic::deny("indentation", "this line is not indented like its neighbours", place, label);
        let found = found.also(self.here(neighbour.start + column, word.len()), format!("{} before this", spaces(column)));
        Some(found.help(format!("put {} before it, like before `{word}`", spaces(column))))
    }

    /// None of the usual mistakes.
    fn plainly(&self, error: &ScanError) -> Diagnostic {
        let at = self.here(self.offset, 0);
        let found = Diagnostic::deny("yaml", format!("this is not YAML: {}", plain_words(error)), at, "the reader gave up here");
        found.help("check the indentation and the quotes of this line and of the one above")
    }
}

/// The finding for nesting without end.
pub fn too_deep(at: Span) -> Diagnostic {
    let most = super::MAX_DEPTH;
    let found = Diagnostic::deny("too-deep", "nested too deeply", at, format!("this is level {}", most + 1));
    found.help(format!("write it flatter: at most {most} levels are read"))
}

/// The finding for a tag that is not of the core schema.
pub fn custom_tag(tag: &str, at: Span) -> Diagnostic {
    let found = Diagnostic::deny("custom-tag", format!("the tag `{tag}` has no meaning here"), at, "this value has a tag");
    found.help(match tag {
        "!vault" | "!secret" => {
            "leave the tag and the value out; declare the secret under `secrets:`, and write `\"${secrets.NAME}\"`".to_owned()
        }
        "!Ref" | "!Sub" | "!env" | "!ENV" => "leave the tag out, and write `\"${params.NAME}\"`".to_owned(),
        tag if tag.starts_with("!!") => "leave the tag out; put a text that looks like a number into quotes".to_owned(),
        tag => format!("leave the tag out; if `{tag}` is part of the text, put the text into quotes"),
    })
}

/// The finding for a key without a space, or without a colon, behind it.
pub fn missing_space(at: Span, sign: &str, fixed: &str, edit: (usize, usize, String)) -> Diagnostic {
    let (headline, label) = match sign {
        ":" => ("a key without a space behind its colon", "a space is missing behind this colon"),
        "-" => ("a list item without a space behind its dash", "a space is missing behind this dash"),
        _ => ("a key without a colon", "a key ends with `: `"),
    };
    repaired(Diagnostic::deny("missing-space", headline, at, label), format!("write `{fixed}`"), edit)
}

fn template(source: SourceId, Mistake { at, len, fixed, edit }: Mistake) -> Diagnostic {
    let at = Span { source, start: at as u32, end: (at + len) as u32 };
    let found = Diagnostic::deny("other-template", "`{{ … }}` stands for nothing here", at, "YAML reads this `{` as a map");
    repaired(found, format!("write `{fixed}`"), edit)
}

/// Says what to type, and carries it as the repair.
fn repaired(found: Diagnostic, what: String, (start, end, text): (usize, usize, String)) -> Diagnostic {
    let at = Span { start: start as u32, end: end as u32, ..found.span() };
    found.help(&what).fix(what, [Edit::new(at, text)])
}

fn unquoted_sign(at: Span, text: &str) -> Diagnostic {
    let line = Line::at(text, at.start as usize);
    let from = at.start as usize - line.start;
    let sign = &line.text[from..=from];
    let label = match sign {
        "*" | "&" => "YAML reads this as an alias or an anchor",
        _ => "no text begins with this sign in YAML",
    };
    let found = Diagnostic::deny("unquoted-sign", format!("a text that begins with `{sign}` needs quotes"), at, label);
    let value = line.text[from..].split(" #").next().unwrap_or("");
    let flow = line.text[..from].matches(['{', '[']).count() > line.text[..from].matches(['}', ']']).count();
    let value = if flow { value.split(", ").next().unwrap_or(value) } else { value };
    let value = value.trim_end().trim_end_matches([',', '}', ']']).trim_end();
    let key = line.text[..from].rfind([',', '{', '[']).map_or(&line.text[..from], |i| &line.text[i + 1..from]);
    let start = at.start as usize;
    let what = format!("put it into quotes: `{}{}`", key.trim_start_matches([' ', '-']), quoted(value));
    repaired(found, what, (start, start + value.len(), quoted(value)))
}

/// Quoted texts up to a byte, as far as a text that cannot be read can be understood.
struct Quotes {
    /// The last one that ended, with its quotes.
    closed: Option<(usize, usize)>,
    /// Where one begins that has not ended.
    open: Option<usize>,
}

impl Quotes {
    fn until(text: &str, end: usize) -> Quotes {
        let bytes = text.as_bytes();
        let (mut open, mut closed) = (None, None);
        let mut i = 0;
        while i < end {
            match (open, bytes[i]) {
                (None, b'#') if i == 0 || bytes[i - 1].is_ascii_whitespace() => {
                    i = text[i..].find('\n').map_or(bytes.len(), |n| i + n);
                }
                (None, q @ (b'"' | b'\'')) if i == 0 || matches!(bytes[i - 1], b' ' | b'[' | b'{' | b',' | b'\n' | b'\t') => {
                    open = Some((i, q))
                }
                (Some((_, b'"')), b'\\') => i += 1,
                (Some((_, b'\'')), b'\'') if bytes.get(i + 1) == Some(&b'\'') => i += 1,
                (Some((from, q)), b) if q == b => {
                    closed = Some((from, i + 1));
                    open = None;
                }
                _ => {}
            }
            i += 1;
        }
        let here = open.map(|(at, _)| at).or_else(|| (matches!(bytes.get(end), Some(b'"' | b'\'')) && end < bytes.len()).then_some(end));
        Quotes { closed, open: here }
    }
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
        ErrorKind::BomInsideDocument => "a byte-order mark in the middle of the text".to_owned(),
        _ => error.info(),
    }
}
