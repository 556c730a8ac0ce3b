//! Text to a tree with a place on everything. It never fails: what cannot be read is a finding. It knows YAML, and
//! nothing of plans; no other room names the parser.

mod comment;
mod fault;
mod line;
mod read;

use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, Span};

pub use comment::{Comment, comments};
pub use read::read;

/// Findings of one text that are kept; of more the first are enough to begin with.
pub const MAX_FINDINGS: usize = 10_000;
/// Nesting allowed, aliases followed.
pub const MAX_DEPTH: usize = 64;
/// Bytes of a text.
pub const MAX_BYTES: usize = 64 << 20;

/// Values that the aliases of a text of so many bytes, and then its lists, may stand for, all together: what a small text
/// means stays small too.
pub const fn room(bytes: usize) -> usize {
    50_000 + bytes / 32
}

/// Bytes that the aliases of a text of so many may stand for, all together.
pub const fn room_bytes(bytes: usize) -> usize {
    (2 << 20) + 4 * bytes
}

/// The text of a plan's bytes.
pub struct Decoded {
    /// The text; where it is broken, up to the end of that line, with a sign in place of what is no UTF-8.
    pub text: String,
    /// The first byte that is no UTF-8.
    pub broken_at: Option<usize>,
}

/// Bytes as a text. Never fails.
pub fn decode(bytes: Vec<u8>) -> Decoded {
    let broken = match String::from_utf8(bytes) {
        Ok(text) => return Decoded { text, broken_at: None },
        Err(broken) => broken,
    };
    let at = broken.utf8_error().valid_up_to();
    let bytes = broken.as_bytes();
    let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |i| at + i);
    // What one line holds is enough to find the place in an editor.
    let end = end.min(at + 200);
    Decoded { text: String::from_utf8_lossy(&bytes[..end]).into_owned(), broken_at: Some(at) }
}

/// The finding for a text that is no UTF-8.
pub fn not_utf8(source: SourceId, at: usize) -> Diagnostic {
    let at = Span { source, start: at as u32, end: at as u32 + '\u{fffd}'.len_utf8() as u32 };
    let found = Diagnostic::deny("not-utf8", "the text is not UTF-8", at, "these bytes are no character of UTF-8");
    found.help("save the file as UTF-8; from Latin-1: `iconv -f latin1 -t utf8 FILE > NEW`")
}

/// Where the nodes of a tree live: in a few large pieces, so that reading a large plan and forgetting it is quick.
#[derive(Default)]
pub struct Arena<'a> {
    nodes: typed_arena::Arena<Node<'a>>,
    entries: typed_arena::Arena<Entry<'a>>,
    texts: typed_arena::Arena<u8>,
}

impl<'a> Arena<'a> {
    /// A list of values that stand elsewhere.
    pub fn list(&'a self, span: Span, items: impl IntoIterator<Item = Node<'a>>) -> Node<'a> {
        Node { span, value: Value::List(self.nodes.alloc_extend(items)) }
    }

    /// A map of entries that stand elsewhere; no key twice.
    pub fn map(&'a self, span: Span, entries: impl IntoIterator<Item = Entry<'a>>) -> Node<'a> {
        Node { span, value: Value::Map(self.entries.alloc_extend(entries)) }
    }

    /// A text that stands in no file as it is.
    pub fn text(&'a self, text: &str) -> &'a str {
        self.texts.alloc_str(text)
    }
}

/// A value in a text.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// Where it stands; of an alias, where its anchor stands.
    pub span: Span,
    /// What it is.
    pub value: Value<'a>,
}

/// What a node is.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A single value.
    Scalar(Scalar<'a>),
    /// `[…]` or lines with dashes.
    List(&'a [Node<'a>]),
    /// `{…}` or lines with keys, in the order in which they are written; no key twice.
    Map(&'a [Entry<'a>]),
    /// A value with an anchor, and each alias of it.
    Shared(&'a Node<'a>),
}

/// A single value as text.
#[derive(Debug, Clone, Copy)]
pub struct Scalar<'a> {
    /// Its text, quotes and escapes resolved.
    pub text: &'a str,
    /// True if it stands without quotes, so that the core schema gives it a type.
    pub plain: bool,
}

/// A key and its value.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The key's text.
    pub key: &'a str,
    /// Where the key stands.
    pub at: Span,
    /// The value.
    pub value: Node<'a>,
}

/// The type that the YAML 1.2 core schema gives to a scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Core {
    /// Nothing, `~`, `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Everything else.
    Text,
}

impl<'a> Node<'a> {
    /// The value itself, behind an anchor too.
    pub fn value(&self) -> &Value<'a> {
        match &self.value {
            Value::Shared(node) => node.value(),
            other => other,
        }
    }

    /// The scalar, if it is one.
    pub fn scalar(&self) -> Option<&Scalar<'a>> {
        match self.value() {
            Value::Scalar(s) => Some(s),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn list(&self) -> Option<&'a [Node<'a>]> {
        match self.value() {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if it is a map.
    pub fn map(&self) -> Option<&'a [Entry<'a>]> {
        match self.value() {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entry of a key, if it is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&'a Entry<'a>> {
        self.map()?.iter().find(|e| e.key == key)
    }

    /// The value of a key, if it is a map that has it.
    pub fn get(&self, key: &str) -> Option<&'a Node<'a>> {
        self.entry(key).map(|e| &e.value)
    }

    /// True for nothing, `~`, `null`.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(|s| s.core() == Core::Null)
    }

    /// A short place that stands for the node: of a map its first key, of a list its first item.
    pub fn head(&self) -> Span {
        match self.value() {
            Value::Map(entries) => entries.first().map_or(self.span, |e| e.at),
            Value::List(items) => items.first().map_or(self.span, Node::head),
            _ => self.span,
        }
    }

    /// What stands here, for a person: `the number 5`, `a list`.
    pub fn kind(&self) -> &'static str {
        match self.value() {
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Scalar(s) => match s.core() {
                Core::Null => "nothing",
                Core::Bool(_) => "true or false",
                Core::Int(_) | Core::Float(_) => "a number",
                Core::Text => "a text",
            },
            Value::Shared(_) => "an alias",
        }
    }
}

impl Scalar<'_> {
    /// Its type by the core schema.
    pub fn core(&self) -> Core {
        if !self.plain {
            return Core::Text;
        }
        let text = self.text;
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Core::Null,
            "true" | "True" | "TRUE" => return Core::Bool(true),
            "false" | "False" | "FALSE" => return Core::Bool(false),
            _ => {}
        }
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        match unsigned.as_bytes() {
            [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => number(text, unsigned),
            _ => match unsigned {
                ".inf" | ".Inf" | ".INF" if text.starts_with('-') => Core::Float(f64::NEG_INFINITY),
                ".inf" | ".Inf" | ".INF" => Core::Float(f64::INFINITY),
                _ if matches!(text, ".nan" | ".NaN" | ".NAN") => Core::Float(f64::NAN),
                _ => Core::Text,
            },
        }
    }
}

fn number(text: &str, unsigned: &str) -> Core {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).map_or(Core::Text, Core::Int);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return i64::from_str_radix(octal, 8).map_or(Core::Text, Core::Int);
    }
    if digits(unsigned) {
        return text.parse().map_or_else(|_| text.parse().map_or(Core::Text, Core::Float), Core::Int);
    }
    let numeric = unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    if numeric { text.parse().map_or(Core::Text, Core::Float) } else { Core::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_schema() {
        let of = |text: &'static str| Scalar { text, plain: true }.core();
        assert_eq!(of("no"), Core::Text);
        assert_eq!(of("1:30"), Core::Text);
        assert_eq!(of("0o17"), Core::Int(15));
        assert_eq!(of("0x1F"), Core::Int(31));
        assert_eq!(of("-3"), Core::Int(-3));
        assert_eq!(of("1.5e3"), Core::Float(1500.0));
        assert_eq!(of("5m"), Core::Text);
        assert_eq!(of("1.2.3"), Core::Text);
        assert_eq!(of("2026-11-21"), Core::Text);
        assert_eq!(of("TRUE"), Core::Bool(true));
        assert_eq!(of("~"), Core::Null);
        assert_eq!(Scalar { text: "5", plain: false }.core(), Core::Text);
    }
}
