//! One line of a text that could not be read, looked at as a person would: where its quotes and brackets stand, and which
//! of the usual mistakes it holds. It does not know what the parser said.

/// A line without its line break.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// Its first byte.
    pub start: usize,
    /// Its text.
    pub text: &'a str,
}

/// A mistake in a line: where it begins, how long it is, and the line or the part of it as it should be.
pub struct Mistake {
    /// First byte in the text.
    pub at: usize,
    /// Bytes.
    pub len: usize,
    /// What to type.
    pub fixed: String,
    /// The bytes of the text that are wrong, and what should stand there.
    pub edit: (usize, usize, String),
}

impl<'a> Line<'a> {
    /// The line that holds a byte.
    pub fn at(text: &'a str, offset: usize) -> Line<'a> {
        let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let start = text[..offset].rfind('\n').map_or(mark, |i| i + 1);
        let end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        Line { start, text: text[start..end].trim_end_matches('\r') }
    }

    /// The line above that holds more than a comment.
    pub fn previous(&self, text: &'a str) -> Option<Line<'a>> {
        let mut line = *self;
        // A byte-order mark stands before the first line.
        while line.start > 0 && text.as_bytes()[line.start - 1] == b'\n' {
            line = Line::at(text, line.start - 1);
            if !matches!(line.words().chars().next(), None | Some('#')) {
                return Some(line);
            }
        }
        None
    }

    /// Whether the next line is indented deeper, so that a text of this one may go on there.
    pub fn goes_on(&self, text: &'a str) -> bool {
        let indent = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
        let next = text.get(self.start + self.text.len()..).unwrap_or("").lines().find(|l| !l.trim().is_empty());
        next.is_some_and(|next| indent(next) > indent(self.text))
    }

    /// The line below.
    pub fn next(&self, text: &'a str) -> Option<Line<'a>> {
        let end = text[self.start..].find('\n')? + self.start + 1;
        (end < text.len()).then(|| Line::at(text, end))
    }

    /// Spaces before the first word.
    pub fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start_matches(' ').len()
    }

    /// The line without the spaces around it.
    pub fn words(&self) -> &'a str {
        self.text.trim()
    }

    /// Columns at which something may stand below: of its first word, and behind each dash.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = vec![self.indent()];
        let mut rest = &self.text[self.indent()..];
        while let Some(behind) = rest.strip_prefix("- ") {
            let word = behind.trim_start_matches(' ');
            columns.push(self.text.len() - word.len());
            rest = word;
        }
        columns
    }

    /// The first tab among the spaces before the first word.
    pub fn tab(&self) -> Option<usize> {
        let blank = self.text.len() - self.text.trim_start_matches([' ', '\t', '-']).len();
        self.text[..blank].find('\t').map(|i| self.start + i)
    }

    /// A `${…}` outside quotes, within `{` or `[`; `inside`: the line begins within one.
    pub fn unquoted_reference(&self, inside: bool) -> Option<Mistake> {
        let mut depth = usize::from(inside);
        for (i, b) in self.unquoted() {
            match b {
                b'{' if i > 0 && self.text.as_bytes()[i - 1] == b'$' && depth > 0 => {
                    let from = self.text[..i].rfind([' ', ',', '[', '{']).map_or(0, |j| j + 1);
                    let close = self.text[i..].find('}').map_or(self.text.len(), |j| i + j + 1);
                    let to = self.text[close..].find([' ', ',', ']', '}']).map_or(self.text.len(), |j| close + j);
                    let key = self.text[..from].rfind([',', '[', '{']).map_or(&self.text[..from], |j| &self.text[j + 1..from]);
                    let text = quoted(&self.text[from..to]);
                    let fixed = format!("{}{text}", key.trim_start_matches([' ', '-']));
                    let edit = (self.start + from, self.start + to, text);
                    return Some(Mistake { at: self.start + i - 1, len: close - (i - 1), fixed, edit });
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }

    /// `{{ … }}` outside quotes.
    pub fn double_braces(&self) -> Option<Mistake> {
        let (at, _) = self.unquoted().find(|(i, _)| self.text[*i..].starts_with("{{"))?;
        let close = self.text[at..].find("}}").map_or(self.text.len(), |j| at + j + 2);
        let path = self.text[at..close].trim_matches(['{', '}', ' ']);
        let fixed = format!("\"${{{path}}}\"");
        let edit = (self.start + at, self.start + close, fixed.clone());
        Some(Mistake { at: self.start + at, len: close - at, fixed, edit })
    }

    /// `key: a text: with a colon`: the second colon, and the key with its text in quotes. `inside`: the line begins within
    /// `{` or `[`.
    pub fn second_colon(&self, inside: bool) -> Option<Mistake> {
        let mut depth = usize::from(inside);
        let (mut from, mut first) = (0, None);
        for (i, b) in self.unquoted() {
            let rest = &self.text[i + 1..];
            match b {
                b'{' | b'[' | b'}' | b']' => {
                    depth = if matches!(b, b'{' | b'[') { depth + 1 } else { depth.saturating_sub(1) };
                    (from, first) = (i + 1, None);
                }
                b',' if depth > 0 => (from, first) = (i + 1, None),
                b':' if rest.is_empty() || rest.starts_with(' ') => {
                    let Some(colon) = first else {
                        first = Some(i);
                        continue;
                    };
                    let key = self.text[from..colon].trim_start_matches([' ', '-']);
                    let value = self.text[colon + 1..].trim_start();
                    if value.starts_with(['"', '\'', '|', '>']) {
                        return None;
                    }
                    let end = if depth > 0 { value.find([',', '}', ']']) } else { value.find(" #") };
                    let start = self.start + self.text.len() - value.len();
                    let value = value[..end.unwrap_or(value.len())].trim_end();
                    let edit = (start, start + value.len(), quoted(value));
                    return Some(Mistake { at: self.start + i, len: 1, fixed: format!("{key}: {}", edit.2), edit });
                }
                _ => {}
            }
        }
        None
    }

    /// `key:value`, `key = value`, `-item`: where the space, or the colon, is missing.
    pub fn missing_space(&self) -> Option<Mistake> {
        let word = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).len();
        let begin = self.text.len() - self.text.trim_start_matches(' ').len();
        let mut line = &self.text[begin..];
        let at = |rest: &str| self.start + self.text.len() - rest.len();
        if let Some(item) = line.strip_prefix('-').filter(|item| item.starts_with(|c: char| c.is_ascii_alphabetic())) {
            let edit = (at(item), at(item), " ".to_owned());
            return Some(Mistake { at: at(line), len: 1, fixed: format!("- {item}"), edit });
        }
        while let Some(item) = line.strip_prefix("- ") {
            line = item.trim_start_matches(' ');
        }
        let (key, rest) = line.split_at(word(line));
        if !key.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        if let Some(value) = rest.trim_start_matches(' ').strip_prefix('=') {
            let edit = (at(rest), at(value.trim_start()), ": ".to_owned());
            return Some(Mistake { at: at(line), len: key.len(), fixed: format!("{key}: {}", value.trim_start()), edit });
        }
        let value = rest.strip_prefix(':').filter(|v| !v.is_empty() && !v.starts_with([' ', '/']))?;
        Some(Mistake { at: at(rest), len: 1, fixed: format!("{key}: {value}"), edit: (at(value), at(value), " ".to_owned()) })
    }

    /// ASCII outside quotes and before a comment: where it stands a text can be cut, before it and behind it.
    fn unquoted(&self) -> impl Iterator<Item = (usize, u8)> {
        let bytes = self.text.as_bytes();
        let (mut quote, mut done) = (None, false);
        bytes.iter().enumerate().filter_map(move |(i, &b)| {
            let begins = i == 0 || matches!(bytes[i - 1], b' ' | b'[' | b'{' | b',' | b'\t');
            match (quote, b) {
                _ if done => return None,
                (Some(q), _) => {
                    if b == q {
                        quote = None;
                    }
                    return None;
                }
                (None, b'"' | b'\'') if begins => {
                    quote = Some(b);
                    return None;
                }
                (None, b'#') if begins => {
                    done = true;
                    return None;
                }
                _ => {}
            }
            b.is_ascii().then_some((i, b))
        })
    }
}

/// A text in double quotes.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
