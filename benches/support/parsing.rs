//! How long the bare parser needs for a plan, and others for the same bytes, in processor time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clock::used;
use super::company::PATH;

/// What reading a plan costs before anybody looks at it.
pub fn parsing(text: &BTreeMap<String, String>) -> Duration {
    best(|| {
        let events = granit_parser::Parser::new_from_str(&text[PATH]);
        let count = events.fold(0, |n, event| n + usize::from(std::hint::black_box(event).is_ok()));
        assert!(count > 100_000, "only {count} events");
    })
}

/// The fastest of nine turns.
pub fn best(mut work: impl FnMut()) -> Duration {
    (0..9).map(|_| used(&mut work).1).min().unwrap_or_default()
}

/// In milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
