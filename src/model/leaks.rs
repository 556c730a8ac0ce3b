//! What a secret looks like: tokens and keys by their shape, and the names of keys that hold one. It knows texts, not plans.

use crate::actions::template::marked;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;

/// Something in a text that gives a secret away.
pub struct Leak {
    /// The secret itself.
    pub at: Range<usize>,
    /// What it is, in words.
    pub what: &'static str,
    /// It is the password of a URL.
    pub in_url: bool,
}

/// Tokens by their shape: what each is called, and its pattern. The first group is the secret.
const SHAPES: &[(&str, &str)] = &[
    ("an AWS access key", r"(?-u:\b)((?:AKIA|ASIA)[0-9A-Z]{16})(?-u:\b)"),
    ("a GitHub token", r"(?-u:\b)(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
    ("a GitLab token", r"(?-u:\b)(gl(?:pat|dt|rt|ptt|cbt)-[A-Za-z0-9_-]{20,})"),
    ("a Slack token", r"(?-u:\b)(xox[abeoprs]-[A-Za-z0-9-]{10,})"),
    ("a webhook address", r"(https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,})"),
    ("a webhook address", r"(https://discord(?:app)?\.com/api/webhooks/[0-9]+/[A-Za-z0-9_-]{20,})"),
    ("a signed token (JWT)", r"(?-u:\b)(eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})"),
    ("a private key", r"(-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)"),
    ("a Google key", r"(?-u:\b)(AIza[0-9A-Za-z_-]{35})"),
    ("a Stripe key", r"(?-u:\b)([rs]k_live_[0-9A-Za-z]{20,})"),
    ("an npm token", r"(?-u:\b)(npm_[A-Za-z0-9]{36})(?-u:\b)"),
    ("a Vault token", r"(?-u:\b)(hv[sb]\.[A-Za-z0-9_-]{24,})"),
    ("an age key", r"(?-u:\b)(AGE-SECRET-KEY-1[0-9A-Z]{58})(?-u:\b)"),
    ("a password", r#"(?i-u:password|passwd|pwd)=([!-~&&[^;&"',$<>{}\[\]]]{3,})"#),
    ("a token", r#"(?i-u:token|secret|api_?key|access_?key)=([A-Za-z0-9_./+=-]*[0-9][A-Za-z0-9_./+=-]{11,})"#),
];
/// What each of them has in it, in small letters: most texts are asked no more than this.
const HINT: &[&str] = &[
    "akia",
    "asia",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glrt-",
    "glptt-",
    "glcbt-",
    "xoxa-",
    "xoxb-",
    "xoxe-",
    "xoxo-",
    "xoxp-",
    "xoxr-",
    "xoxs-",
    "hooks.slack.com",
    "/api/webhooks/",
    "eyj",
    "private key",
    "aiza",
    "k_live_",
    "npm_",
    "hvs.",
    "hvb.",
    "age-secret-key",
    "password=",
    "passwd=",
    "pwd=",
    "token=",
    "secret=",
    "api_key=",
    "apikey=",
    "access_key=",
    "accesskey=",
];
/// `scheme://user:password@host`.
const URL: &str = r#"[A-Za-z][A-Za-z0-9+.-]*://[!-~&&[^/:@"'<>]]*:([!-~&&[^/@"'<>$]]+)@"#;
/// Keys that hold a secret: their words, joined by nothing, `_` or `-`.
const KEYS: &[&[&str]] = &[
    &["password"],
    &["passwd"],
    &["passphrase"],
    &["pwd"],
    &["token"],
    &["api", "key"],
    &["secret", "key"],
    &["secret", "access", "key"],
    &["client", "secret"],
    &["private", "key"],
    &["authorization"],
];
/// Ends of keys that say where a secret is, or how many, and not what it is.
const HARMLESS: &[&str] =
    &["file", "path", "url", "uri", "name", "id", "ttl", "env", "type", "length", "count", "header", "prefix", "user"];

static SHAPE: LazyLock<Vec<(&str, Regex)>> =
    LazyLock::new(|| SHAPES.iter().filter_map(|(what, pattern)| Some((*what, Regex::new(pattern).ok()?))).collect());
// Of its kinds the one that is ready soon: a short run feels it.
static HINTS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let kind = Some(AhoCorasickKind::ContiguousNFA);
    AhoCorasick::builder().ascii_case_insensitive(true).kind(kind).build(HINT).ok()
});
static IN_URL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(URL).ok());
static KEY: LazyLock<Vec<String>> = LazyLock::new(|| {
    let with =
        |all: Vec<String>, word: &&str| all.iter().flat_map(|begun| ["", "_", "-"].map(|sign| format!("{begun}{sign}{word}"))).collect();
    KEYS.iter().flat_map(|words| words[1..].iter().fold(vec![words[0].to_owned()], with)).collect()
});
static KEY_AND_VALUE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let behind = r#"[A-Za-z0-9_-]*["']?[ \t]*:[ \t]+([^ \t$&*|>{\[#\r\n][^\r\n,}]*)"#;
    let keys: Vec<String> = KEYS.iter().map(|words| words.join("[_-]?")).collect();
    Regex::new(&format!("(?i-u:{}){behind}", keys.join("|"))).ok()
});

/// Secrets of a text by their shape, in order.
pub fn by_shape(text: &str) -> Vec<Leak> {
    let mut all: Vec<Leak> = Vec::new();
    if HINTS.as_ref().is_some_and(|hint| hint.is_match(text)) {
        for (what, shape) in SHAPE.iter() {
            all.extend(shape.captures_iter(text).filter_map(|c| {
                // `?password=` of an address.
                let in_url = *what == "a password" && text[..c.get(0)?.start()].ends_with(['?', '&']);
                Some(Leak { at: c.get(1)?.range(), what, in_url })
            }));
        }
    }
    if text.contains("://") && text.contains('@') {
        let in_urls = IN_URL.iter().flat_map(|url| url.captures_iter(text)).filter_map(|c| c.get(1));
        all.extend(in_urls.map(|m| Leak { at: m.range(), what: "a password", in_url: true }));
    }
    for leak in all.iter_mut().filter(|l| l.what == "a private key") {
        leak.at.end = whole_key(text, leak.at.clone());
    }
    all.sort_by_key(|l| (l.at.start, std::cmp::Reverse(l.at.end)));
    // A token in the middle of another one is the same secret.
    let mut end = 0;
    all.retain(|l| {
        let apart = l.at.start >= end;
        end = end.max(l.at.end);
        apart
    });
    all
}

/// Whether a key holds a secret, by its name.
pub fn key_of_secret(key: &str) -> bool {
    let bare = key.to_ascii_lowercase();
    let harmless = HARMLESS.iter().any(|end| bare.strip_suffix(end).is_some_and(|rest| rest.ends_with(['_', '-'])));
    key.len() < 100 && !harmless && KEY.iter().any(|words| bare.contains(words))
}

/// What of a text must not be shown, also where it cannot be read as a plan.
pub fn to_hide(text: &str) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = by_shape(text).into_iter().map(|leak| leak.at).collect();
    let keyed = KEY_AND_VALUE.iter().flat_map(|pattern| pattern.captures_iter(text)).filter_map(|c| c.get(1));
    all.extend(keyed.filter(|m| !marked(m.as_str())).map(|m| m.range()));
    all
}

/// Where a private key ends: at its last line, or where its lines do.
fn whole_key(text: &str, begin: Range<usize>) -> usize {
    let rest = &text[begin.end..];
    let end = rest.find("-----END").and_then(|i| Some(i + rest[i..].find("KEY-----").or_else(|| rest[i..].find('\n'))? + "KEY-----".len()));
    let most = rest.len().min(8_000);
    let end = end.unwrap_or(most).min(most);
    begin.end + rest.floor_char_boundary(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(SHAPE.len(), SHAPES.len());
        assert!(HINTS.is_some() && IN_URL.is_some() && KEY_AND_VALUE.is_some());
    }

    #[test]
    fn what_is_no_secret_is_none() {
        for text in [
            "https://example.com/a:b@c",
            "postgres://dr@db.example.com:5432/orders",
            "https://${params.user}:${secrets.password}@example.com/",
            "PASSWORD=$1",
            "--token=auto",
            "select password from users",
            "s3://bucket/eyJ/x",
            "AKIA",
        ] {
            assert!(by_shape(text).is_empty(), "{text}: {}", by_shape(text)[0].what);
        }
        for key in ["password_file", "token_url", "access_key_id", "keep", "tokens_count", "secret"] {
            assert!(!key_of_secret(key), "{key}");
        }
        for key in ["PGPASSWORD", "api-key", "db_password", "Authorization", "AWS_SECRET_ACCESS_KEY"] {
            assert!(key_of_secret(key), "{key}");
        }
    }
}
