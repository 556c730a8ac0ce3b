//! Striking secrets out of what is kept: each as it is, in base64 (standard and URL-safe, at any offset of a longer
//! text, broken into lines or not), URL-encoded, JSON-escaped and in hexadecimal. Pure; it does not know where a text
//! comes from. A stream is struck whole however it is cut into chunks.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// What stands where a secret stood.
pub const MARK: &str = "[secret]";

/// Bytes that the common URL encoders leave as they are, beside letters and digits.
const LEFT_IN_URLS: [&str; 5] = ["-._~", "-._~/", "*-._", "-_.!~*'()", "-_.!~*'();/?:@&=+$,#"];

/// Knows every form of some secrets.
#[derive(Clone, Default)]
pub struct Striker {
    /// Longest first.
    forms: Vec<Form>,
    /// By first byte, which forms begin with it.
    by_first: Vec<Vec<usize>>,
    /// The most bytes that one form can take.
    longest: usize,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    bytes: Vec<u8>,
    /// Line breaks may stand between its bytes, as written or escaped.
    broken: bool,
}

impl Striker {
    /// A striker of these; empty ones are no secrets.
    pub fn new(secrets: &[String]) -> Self {
        let mut forms = BTreeSet::new();
        for secret in secrets.iter().filter(|s| !s.is_empty()) {
            forms.extend(texts(secret).into_iter().map(|bytes| Form { bytes, broken: false }));
            forms.extend(base64(secret.as_bytes()).into_iter().map(|bytes| Form { bytes, broken: true }));
        }
        let mut forms: Vec<Form> = forms.into_iter().filter(|f| !f.bytes.is_empty()).collect();
        forms.sort_by_key(|f| std::cmp::Reverse(f.bytes.len()));
        let mut by_first = vec![Vec::new(); 256];
        for (i, form) in forms.iter().enumerate() {
            by_first[usize::from(form.bytes[0])].push(i);
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
    fn longest(&self) -> usize {
        // A line break takes four bytes at most, escaped.
        if self.broken { self.bytes.len() * 5 } else { self.bytes.len() }
    }

    fn matched(&self, text: &[u8]) -> Option<usize> {
        if !self.broken {
            return text.starts_with(&self.bytes).then_some(self.bytes.len());
        }
        let mut at = 0;
        for (i, byte) in self.bytes.iter().enumerate() {
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

/// As it is, in hexadecimal, and as URL encoders and JSON writers put it.
fn texts(secret: &str) -> Vec<Vec<u8>> {
    let hex = |upper: bool| secret.bytes().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect::<String>();
    let mut forms = vec![secret.to_owned(), hex(true), hex(false)];
    for left in LEFT_IN_URLS {
        for (upper, plus) in [(true, true), (true, false), (false, true), (false, false)] {
            forms.push(url(secret, left, upper, plus));
        }
    }
    for (slash, ascii, upper) in
        [(false, false, false), (true, false, false), (false, true, false), (true, true, false), (false, true, true)]
    {
        forms.push(json(secret, slash, ascii, upper));
    }
    forms.into_iter().map(String::into_bytes).collect()
}

fn url(secret: &str, left: &str, upper: bool, plus: bool) -> String {
    let mut text = String::new();
    for byte in secret.bytes() {
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || (c.is_ascii() && left.contains(c)) => text.push(c),
            ' ' if plus => text.push('+'),
            _ if upper => text.push_str(&format!("%{byte:02X}")),
            _ => text.push_str(&format!("%{byte:02x}")),
        }
    }
    text
}

fn json(secret: &str, slash: bool, ascii: bool, upper: bool) -> String {
    let mut text = String::new();
    for c in secret.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '/' if slash => text.push_str("\\/"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            // Go and others keep their JSON safe for HTML in this way.
            '<' | '>' | '&' if ascii => text.push_str(&escaped(c, upper)),
            c if c.is_ascii_control() || (ascii && !c.is_ascii()) => text.push_str(&escaped(c, upper)),
            c => text.push(c),
        }
    }
    text
}

fn escaped(c: char, upper: bool) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|u| if upper { format!("\\u{u:04X}") } else { format!("\\u{u:04x}") }).collect()
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
            assert!(whole.len() <= "before \"[secret]==\" after".len(), "{form}: {whole}");
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
    fn what_is_no_secret_stays() {
        assert_eq!(Striker::new(&[]).strike("nothing, ü"), "nothing, ü");
        assert_eq!(Striker::new(&[String::new()]).strike("a"), "a");
        assert_eq!(striker().strike("p@ss w/rd"), "p@ss w/rd");
        assert_eq!(Striker::default().strike("a"), "a");
    }
}
