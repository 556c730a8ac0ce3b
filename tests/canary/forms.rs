//! A secret in the forms in which it would be recognised by whoever reads it, and where they stand in some bytes. Written
//! apart from the program's own striking, so that both are not wrong in the same way.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// One form.
pub struct Needle {
    /// What it is called.
    pub name: String,
    /// Only some tools write it.
    pub rare: bool,
    bytes: Vec<u8>,
}

/// Every form of a secret.
pub fn needles(secret: &str) -> Vec<Needle> {
    let mut out: Vec<Needle> = Vec::new();
    let mut add = |name: &str, rare: bool, text: String| {
        out.push(Needle { name: format!("{name} of {}", &secret[..9.min(secret.len())]), rare, bytes: text.into_bytes() });
    };
    let json = |text: &str| serde_json::to_string(text).unwrap().trim_matches('"').to_owned();
    let ascii =
        |text: &str| text.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", c as u32) }).collect::<String>();
    add("plain", false, secret.to_owned());
    add("JSON", false, inner(&json(secret)));
    add("JSON in ASCII", false, inner(&ascii(&json(secret))));
    add("JSON in JSON", true, inner(&json(&json(secret))));
    for (left, name) in [("-._~", "URL"), ("-._~/", "URL with slashes")] {
        for upper in [true, false] {
            let coded: String = secret
                .bytes()
                .map(|b| match char::from(b) {
                    c if c.is_ascii_alphanumeric() || (c.is_ascii() && left.contains(c)) => c.to_string(),
                    _ if upper => format!("%{b:02X}"),
                    _ => format!("%{b:02x}"),
                })
                .collect();
            add(name, !upper, coded.clone());
            add("URL of a form", !upper || left.contains('/'), coded.replace("%20", "+"));
        }
    }
    for before in 0..3 {
        for (engine, name) in [(&STANDARD, "base64"), (&URL_SAFE, "base64 for URLs")] {
            let mut text = vec![b'u'; before];
            text.extend_from_slice(secret.as_bytes());
            let coded = engine.encode(&text);
            // What the secret alone decides.
            add(&format!("{name} at {before}"), false, coded[(before * 8).div_ceil(6)..text.len() * 8 / 6].to_owned());
        }
    }
    add("hexadecimal", false, secret.bytes().map(|b| format!("{b:02x}")).collect());
    add("hexadecimal in capitals", false, secret.bytes().map(|b| format!("{b:02X}")).collect());
    out
}

/// Without the border between text and quotation mark.
fn inner(text: &str) -> String {
    text.to_owned()
}

/// The names of the forms that stand in some bytes. A prefix of half a secret is one too: what was cut short was a secret.
pub fn found(bytes: &[u8], needles: &[Needle]) -> Vec<String> {
    // Line breaks within do not hide it.
    let flat: Vec<u8> = bytes.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
    let holds = |hay: &[u8], needle: &[u8]| !needle.is_empty() && memchr(hay, needle);
    let mut out = Vec::new();
    for needle in needles {
        let half = &needle.bytes[..needle.bytes.len() * 2 / 3];
        if holds(bytes, &needle.bytes) || holds(&flat, &needle.bytes) {
            out.push(needle.name.clone());
        } else if holds(bytes, half) {
            out.push(format!("the beginning of {}", needle.name));
        }
    }
    out
}

fn memchr(hay: &[u8], needle: &[u8]) -> bool {
    let first = needle[0];
    let mut at = 0;
    while let Some(next) = hay[at..].iter().position(|b| *b == first).map(|i| i + at) {
        if hay[next..].starts_with(needle) {
            return true;
        }
        at = next + 1;
    }
    false
}
