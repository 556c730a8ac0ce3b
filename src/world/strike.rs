//! Striking secrets out of what is kept: each as it is, in base64 (standard and URL-safe, at any offset of a longer
//! text, broken into lines or not), URL-encoded, JSON-escaped, in the entities of HTML, and in hexadecimal. Of each
//! character it does not matter which of these is used: encoders differ in what they leave alone. Pure; it does not know
//! where a text comes from. A stream is struck whole however it is cut into chunks.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::Value;

/// What stands where a secret stood.
pub const MARK: &str = "[secret]";

/// A line of a secret that is shorter is struck out only with the rest of it.
const LINE: usize = 8;

/// Knows every form of some secrets.
#[derive(Clone, Default)]
pub struct Striker {
    forms: Vec<Form>,
    /// By first byte, which forms begin with it.
    by_first: Vec<Vec<usize>>,
    /// The most bytes that one form can take.
    longest: usize,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// These very bytes.
    Exact(Vec<u8>),
    /// Line breaks may stand between the bytes, as written or escaped.
    Broken(Vec<u8>),
    /// For each character, how it may be written.
    Spelled(Vec<Vec<Spelling>>),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Spelling {
    bytes: Vec<u8>,
    /// Its letters are digits of a number, in either case.
    any_case: bool,
}

impl Striker {
    /// A striker of these; empty ones are no secrets.
    pub fn new(secrets: &[String]) -> Self {
        let mut forms = BTreeSet::new();
        for secret in secrets.iter().flat_map(|s| parts(s)) {
            forms.insert(Form::Spelled(secret.chars().map(spellings).collect()));
            forms.extend(hexadecimal(secret.as_bytes()).map(Form::Exact));
            forms.extend(base64(secret.as_bytes()).into_iter().filter(|bytes| !bytes.is_empty()).map(Form::Broken));
        }
        let forms: Vec<Form> = forms.into_iter().collect();
        let mut by_first = vec![Vec::new(); 256];
        for (i, form) in forms.iter().enumerate() {
            form.firsts().into_iter().for_each(|first| by_first[usize::from(first)].push(i));
        }
        let longest = forms.iter().map(Form::longest).max().unwrap_or(1);
        Striker { forms, by_first, longest }
    }

    /// A text without them.
    pub fn strike(&self, text: &str) -> String {
        let mut stream = self.stream();
        let mut kept = stream.push(text.as_bytes());
        kept.extend(stream.end());
        String::from_utf8_lossy(&kept).into_owned()
    }

    /// A value without them, in its texts and in the names of its keys.
    pub fn strike_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.strike(text)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.strike_value(item)).collect()),
            Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (self.strike(k), self.strike_value(v))).collect()),
            // A secret may be a number.
            Value::Number(number) => match self.strike(&number.to_string()) {
                text if text == number.to_string() => value.clone(),
                text => Value::String(text),
            },
            Value::Null | Value::Bool(_) => value.clone(),
        }
    }

    /// For what comes in chunks.
    pub fn stream(&self) -> Stream<'_> {
        Stream { striker: self, pending: Vec::new(), covered: 0 }
    }

    /// How many bytes a secret that begins here takes; 0 if none does.
    fn at(&self, text: &[u8]) -> usize {
        let Some(candidates) = text.first().and_then(|&b| self.by_first.get(usize::from(b))) else {
            return 0;
        };
        candidates.iter().filter_map(|&i| self.forms[i].matched(text)).max().unwrap_or(0)
    }
}

impl Form {
    /// With which bytes it may begin.
    fn firsts(&self) -> BTreeSet<u8> {
        match self {
            Form::Exact(bytes) | Form::Broken(bytes) => bytes.first().copied().into_iter().collect(),
            Form::Spelled(chars) => chars.iter().take(1).flatten().filter_map(|s| s.bytes.first().copied()).collect(),
        }
    }

    fn longest(&self) -> usize {
        match self {
            Form::Exact(bytes) => bytes.len(),
            // A line break takes four bytes at most, escaped.
            Form::Broken(bytes) => bytes.len() * 5,
            Form::Spelled(chars) => chars.iter().map(|ways| ways.iter().map(|s| s.bytes.len()).max().unwrap_or(0)).sum(),
        }
    }

    /// How many bytes it takes where it begins here.
    fn matched(&self, text: &[u8]) -> Option<usize> {
        match self {
            Form::Exact(bytes) => text.starts_with(bytes).then_some(bytes.len()),
            Form::Broken(bytes) => broken(bytes, text),
            Form::Spelled(chars) => spelled(chars, text),
        }
    }
}

fn broken(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let mut at = 0;
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 {
            at += line_break(&text[at..]);
        }
        if text.get(at) != Some(byte) {
            return None;
        }
        at += 1;
    }
    Some(at)
}

/// All ends that the characters so far may have: a `%` may be one, and the beginning of another.
fn spelled(chars: &[Vec<Spelling>], text: &[u8]) -> Option<usize> {
    let mut ends = vec![0];
    for ways in chars {
        let mut next: Vec<usize> = Vec::with_capacity(ends.len());
        for end in ends {
            for way in ways.iter().filter(|way| way.stands(&text[end..])) {
                if !next.contains(&(end + way.bytes.len())) {
                    next.push(end + way.bytes.len());
                }
            }
        }
        ends = next;
        if ends.is_empty() {
            return None;
        }
    }
    ends.into_iter().max()
}

impl Spelling {
    fn stands(&self, text: &[u8]) -> bool {
        let Some(text) = text.get(..self.bytes.len()) else { return false };
        if self.any_case { text.eq_ignore_ascii_case(&self.bytes) } else { text == self.bytes }
    }
}

/// How many bytes a line break that stands here takes.
fn line_break(text: &[u8]) -> usize {
    const BREAKS: [&[u8]; 4] = [b"\n", b"\r\n", b"\\n", b"\\r\\n"];
    BREAKS.iter().find(|b| text.starts_with(b)).map_or(0, |b| b.len())
}

/// Strikes as it goes. Holds back what could still become a secret.
pub struct Stream<'a> {
    striker: &'a Striker,
    pending: Vec<u8>,
    /// How many bytes of `pending` belong to a secret that was found already.
    covered: usize,
}

impl Stream<'_> {
    /// What is sure of all that was pushed until now.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.pending.extend_from_slice(chunk);
        self.take((self.pending.len() + 1).saturating_sub(self.striker.longest.max(1)))
    }

    /// The rest.
    pub fn end(&mut self) -> Vec<u8> {
        self.take(self.pending.len())
    }

    /// Secrets may overlap: every position is looked at, also inside one that was found.
    fn take(&mut self, until: usize) -> Vec<u8> {
        let mut kept = Vec::with_capacity(until);
        for at in 0..until {
            let length = self.striker.at(&self.pending[at..]);
            if length > 0 && self.covered <= at {
                kept.extend_from_slice(MARK.as_bytes());
            }
            if length > 0 {
                self.covered = self.covered.max(at + length);
            }
            if at >= self.covered {
                kept.push(self.pending[at]);
            }
        }
        self.pending.drain(..until);
        self.covered = self.covered.saturating_sub(until);
        kept
    }
}

/// A secret, without the space around it as well, and each of its lines that is long enough to be one: a key of many
/// lines is printed line by line, indented, with other line breaks.
fn parts(secret: &str) -> impl Iterator<Item = &str> {
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= LINE);
    let lines = lines.filter(|_| secret.trim().contains('\n'));
    std::iter::once(secret).chain([secret.trim()]).filter(|s| !s.is_empty()).chain(lines)
}

/// A character as it is, and as URL encoders, JSON writers and writers of HTML put it; once, and once more by another that
/// was given the first one's work.
fn spellings(c: char) -> Vec<Spelling> {
    let mut ways = BTreeSet::from([Spelling { bytes: c.to_string().into_bytes(), any_case: false }]);
    let mut add = |text: String, any_case: bool| {
        ways.insert(Spelling { bytes: text.into_bytes(), any_case });
    };
    let bytes = |before: &str| c.to_string().bytes().map(|b| format!("{before}{b:02x}")).collect::<String>();
    add(bytes("%"), true);
    add(bytes("%25"), true);
    let units: String = c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect();
    add(units.replace('\\', "\\\\"), true);
    add(units, true);
    let short = match c {
        '"' | '\\' | '/' | '\'' => Some(c),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        _ => None,
    };
    if let Some(short) = short {
        add(format!("\\{short}"), false);
        // A backslash and the character, each escaped again.
        add(format!("\\\\{}", if matches!(c, '"' | '\\') { format!("\\{c}") } else { short.to_string() }), false);
    }
    if c == ' ' {
        add("+".to_owned(), false);
    }
    let names: &[&str] = match c {
        '&' => &["&amp;"],
        '<' => &["&lt;"],
        '>' => &["&gt;"],
        '"' => &["&quot;", "&#34;", "&#x22;"],
        '\'' => &["&apos;", "&#39;", "&#x27;"],
        _ => &[],
    };
    names.iter().for_each(|name| add((*name).to_owned(), true));
    ways.into_iter().collect()
}

fn hexadecimal(secret: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let upper = secret.iter().map(|b| format!("{b:02X}")).collect::<String>();
    [upper.to_lowercase(), upper].into_iter().map(String::into_bytes)
}

/// The characters that the secret alone decides, for each of the three offsets at which it may stand in a longer
/// text, and the whole of it standing alone.
fn base64(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for (engine, padded) in [(&STANDARD_NO_PAD, &STANDARD), (&URL_SAFE_NO_PAD, &URL_SAFE)] {
        forms.push(engine.encode(secret).into_bytes());
        forms.push(padded.encode(secret).into_bytes());
        for before in 0..3 {
            let mut text = vec![0; before];
            text.extend_from_slice(secret);
            let encoded = engine.encode(&text).into_bytes();
            let first = (before * 8).div_ceil(6);
            let end = text.len() * 8 / 6;
            forms.push(encoded[first.min(end)..end].to_vec());
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "p@ss w/rd+\"ü\"\\%41&<7>";

    fn striker() -> Striker {
        Striker::new(&[SECRET.to_owned()])
    }

    /// Each form as tools write it, in a text of its own.
    fn written() -> Vec<String> {
        let b64 = base64::engine::general_purpose::STANDARD.encode(SECRET);
        let (left, right) = b64.split_at(9);
        vec![
            SECRET.to_owned(),
            serde_json::to_string(SECRET).unwrap(),
            r#""p@ss w\/rd+\"\u00fc\"\\%41\u0026\u003c7\u003e""#.to_owned(),
            "p%40ss+w%2Frd%2B%22%C3%BC%22%5C%2541%26%3C7%3E".to_owned(),
            "p%40ss%20w/rd%2b%22%c3%bc%22%5c%2541%26%3c7%3e".to_owned(),
            "%70%40%73%73%20%77%2F%72%64%2B%22%C3%BC%22%5C%25%34%31%26%3C%37%3E".to_owned(),
            "p%2540ss%2520w%252Frd%252B%2522%25C3%25BC%2522%255C%252541%2526%253C7%253E".to_owned(),
            r#""p@ss w/rd+\"\u00FC\"\\%41&<7>""#.to_owned(),
            serde_json::to_string(&serde_json::to_string(SECRET).unwrap()).unwrap(),
            "p@ss w/rd+&quot;ü&#34;\\%41&amp;&lt;7&gt;".to_owned(),
            b64.clone(),
            format!("{left}\n{right}"),
            format!("{left}\\n{right}"),
            base64::engine::general_purpose::URL_SAFE.encode(SECRET),
            SECRET.bytes().map(|b| format!("{b:02x}")).collect(),
        ]
    }

    #[test]
    fn every_form_is_struck_at_every_border_of_chunks() {
        let striker = striker();
        for form in written() {
            let text = format!("before {form} after");
            let whole = striker.strike(&text);
            assert!(whole.starts_with("before ") && whole.ends_with(" after") && whole.contains(MARK), "{form}: {whole}");
            assert!(whole.len() <= "before \"\\\"[secret]==\\\"\" after".len(), "{form}: {whole}");
            for cut in 0..=text.len() {
                let mut stream = striker.stream();
                let (a, b) = text.as_bytes().split_at(cut);
                let kept = [stream.push(a), stream.push(b), stream.end()].concat();
                assert_eq!(String::from_utf8(kept).unwrap(), whole, "{form} cut at {cut}");
            }
        }
    }

    #[test]
    fn base64_of_a_longer_text_gives_no_more_than_the_borders() {
        for before in ["", "u", "us", "user:"] {
            let text = base64::engine::general_purpose::STANDARD.encode(format!("{before}{SECRET}, and more"));
            let struck = striker().strike(&text);
            let forms = base64(SECRET.as_bytes());
            let shortest = forms.iter().map(Vec::len).min().unwrap();
            assert!(struck.contains(MARK) && struck.len() <= text.len() - shortest + MARK.len(), "{before}: {struck}");
        }
    }

    #[test]
    fn secrets_that_overlap_leave_nothing_of_each_other() {
        let striker = Striker::new(&["abcdefgh".to_owned(), "efghijkl".to_owned(), "abcdefghij".to_owned()]);
        assert_eq!(striker.strike("-abcdefghijkl-abcdefgh efghijklabcdefghij"), "-[secret]-[secret] [secret][secret]");
    }

    #[test]
    fn a_secret_of_many_lines_is_struck_line_by_line() {
        let striker = Striker::new(&["-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\nend\n".to_owned(), "  padded-secret ".to_owned()]);
        for text in ["  MIIEvQIBADAN", "MIIEvQIBADAN\r\nBgkqhkiG9w0B\r\n", "<padded-secret>"] {
            let struck = striker.strike(text);
            assert!(struck.contains(MARK) && !["MIIE", "Bgkq", "padded"].iter().any(|s| struck.contains(s)), "{struck}");
        }
        assert_eq!(striker.strike("the end"), "the end");
    }

    #[test]
    fn values_are_struck_wherever_they_hold_a_text() {
        let striker = Striker::new(&["hunter2hunter2".to_owned(), "1234567890".to_owned()]);
        let value = serde_json::json!({ "a hunter2hunter2": ["hunter2hunter2", 1_234_567_890_u64, true, null, 7] });
        assert_eq!(striker.strike_value(&value), serde_json::json!({ "a [secret]": ["[secret]", "[secret]", true, null, 7] }));
    }

    #[test]
    fn what_is_no_secret_stays() {
        assert_eq!(Striker::new(&[]).strike("nothing, ü"), "nothing, ü");
        assert_eq!(Striker::new(&[String::new()]).strike("a"), "a");
        assert_eq!(striker().strike("p@ss w/rd"), "p@ss w/rd");
        assert_eq!(Striker::default().strike("a"), "a");
    }
}
