//! Durations, sizes and times as a plan types them: the one parser and the one writer. It does not know which field
//! they stand in.

use jiff::Timestamp;

/// Why a text is not the unit that was wanted, and what to type instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, lowercase, stands alone.
    pub what: String,
    /// What to type.
    pub help: String,
    /// Which mistake it is.
    pub why: Why,
    /// What was surely meant.
    pub instead: Option<String>,
}

/// Mistakes with units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A number and nothing else.
    NoUnit,
    /// A month or a year where a length is wanted.
    Calendar,
    /// `1:30`.
    Clock,
    /// Any other.
    Other,
}

impl Problem {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Problem {
        Problem { what: what.into(), help: help.into(), why: Why::Other, instead: None }
    }

    fn meant(what: impl Into<String>, text: String) -> Problem {
        Problem { instead: Some(text.clone()), ..Problem::new(what, format!("write `{text}`")) }
    }
}

const LENGTHS: &[(&str, u64)] = &[("w", 7 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Units as other tools and people write them. `M` may be a minute or a month.
const OTHERS: &[(&str, &[&str])] = &[
    ("ms", &["msec", "msecs", "millis", "millisecond", "milliseconds"]),
    ("s", &["S", "sec", "secs", "second", "seconds"]),
    ("m", &["min", "mins", "minute", "minutes"]),
    ("h", &["H", "hr", "hrs", "hour", "hours"]),
    ("d", &["D", "day", "days"]),
    ("w", &["W", "wk", "week", "weeks"]),
];
const CALENDAR: &[(&str, u64)] = &[("y", 365 * 86_400_000), ("mo", 30 * 86_400_000)];
const SIZES: &[(&str, u64)] = &[
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

/// `250ms`, `30s`, `15m`, `4h`, `7d`, `12w` and sums like `1h30m`, in milliseconds.
pub fn duration_ms(text: &str) -> Result<u64, Problem> {
    length(text, false)
}

/// A duration for which something is kept: also `12mo` (of 30 days) and `7y` (of 365 days), in milliseconds.
pub fn kept_ms(text: &str) -> Result<u64, Problem> {
    length(text, true)
}

/// `10GiB`, `5MB`, `512B`, in bytes.
pub fn size_bytes(text: &str) -> Result<u64, Problem> {
    let (number, unit) = split(text);
    let help = |n: &str| format!("write `{n}GiB`, `{n}MB` or another size with its unit");
    if number.is_empty() {
        return Err(Problem::new(format!("`{text}` is not a size"), help("10")));
    }
    if unit.is_empty() {
        return Err(Problem { why: Why::NoUnit, ..Problem::new(format!("`{text}` has no unit"), help(text)) });
    }
    let Some((_, scale)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        return Err(odd_size(text, number, unit));
    };
    let size = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*scale));
    size.ok_or_else(|| Problem::new(format!("`{text}` is too large"), help("10")))
}

/// An instant in RFC 3339: `2026-11-21T03:00:00Z`.
pub fn time(text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|_| {
        let day = text.parse::<jiff::civil::Date>().ok().filter(|_| !text.contains([':', 'T', ' ']));
        let moment = text.parse::<jiff::civil::DateTime>().ok();
        let (what, help) = match (day, moment) {
            (Some(day), _) => ("a day, not a time", format!("add the time and its zone: `{day}T00:00:00Z`")),
            (None, Some(moment)) => ("a time without its zone", format!("add its zone, `Z` for UTC: `{moment}Z`")),
            _ => ("not a time", "write it as RFC 3339, with its zone: `2026-11-21T03:00:00Z`".to_owned()),
        };
        Problem::new(format!("`{text}` is {what}"), help)
    })
}

/// Milliseconds as a plan would type them: `1h30m`, `250ms`, `0s`.
pub fn duration_text(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut rest = ms;
    let mut out = String::new();
    // Weeks are left out: `10d` is read faster than `1w3d`.
    for (unit, scale) in LENGTHS.iter().skip(1) {
        if rest >= *scale {
            out.push_str(&format!("{}{unit}", rest / scale));
            rest %= scale;
        }
    }
    out
}

/// Bytes as a plan would type them, in the largest unit that is exact.
pub fn size_text(bytes: u64) -> String {
    let exact = SIZES.iter().find(|(_, scale)| bytes >= *scale && bytes.is_multiple_of(*scale));
    exact.map_or_else(|| format!("{bytes}B"), |(unit, scale)| format!("{}{unit}", bytes / scale))
}

fn length(text: &str, kept: bool) -> Result<u64, Problem> {
    let sample =
        if kept { "write it with its unit: `30d`, `12w`, `12mo`, `7y`" } else { "write it with its unit: `30s`, `15m`, `4h`, `7d`" };
    let bad = || odd_length(text, sample);
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last = u64::MAX;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let (number, tail) = split(rest);
        if number.is_empty() {
            return Err(bad());
        }
        let unit_len = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_len);
        if tail.is_empty() && total == 0 {
            let help = format!("write `{text}s` for seconds, `{text}m` for minutes or `{text}h` for hours");
            return Err(Problem { why: Why::NoUnit, ..Problem::new(format!("`{text}` has no unit"), help) });
        }
        let known = LENGTHS.iter().chain(CALENDAR).find(|(name, _)| *name == unit);
        let Some((_, scale)) = known else { return Err(bad()) };
        if !kept && CALENDAR.iter().any(|(name, _)| *name == unit) {
            let days = number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale / 86_400_000));
            let help =
                days.map_or_else(|| "write days or weeks: `30d`, `52w`".to_owned(), |days| format!("write it in days or weeks: `{days}d`"));
            let what = format!("`{unit}` has no fixed length, so it cannot be waited for");
            return Err(Problem { why: Why::Calendar, ..Problem::new(what, help) });
        }
        if *scale >= last {
            let what = format!("`{text}` does not go from large units to small ones");
            return Err(Problem::new(what, "write it like `1h30m`"));
        }
        last = *scale;
        let amount = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*scale));
        total = amount.and_then(|a| total.checked_add(a)).ok_or_else(|| Problem::new(format!("`{text}` is too long"), sample))?;
        rest = next;
    }
    Ok(total)
}

/// What a duration is that cannot be read, and what may be meant by it.
fn odd_length(text: &str, sample: &str) -> Problem {
    let shown = text.trim();
    let what = format!("`{text}` is not a duration");
    let parts: Vec<Option<u64>> = shown.split(':').map(|part| part.parse().ok().filter(|_| part.len() < 6)).collect();
    match parts[..] {
        [Some(a), Some(b)] => {
            let (short, long) = (duration_text((a * 60 + b) * 1_000), duration_text((a * 60 + b) * 60_000));
            let help = format!("write `{short}` for minutes and seconds, `{long}` for hours and minutes");
            return Problem { why: Why::Clock, ..Problem::new(what, help) };
        }
        [Some(h), Some(m), Some(s)] => {
            return Problem { why: Why::Clock, ..Problem::meant(what, duration_text((h * 3_600 + m * 60 + s) * 1_000)) };
        }
        _ => {}
    }
    if let Some(length) = shown.strip_prefix('-').filter(|rest| duration_ms(rest).is_ok()) {
        return Problem::new(format!("`{text}` is negative"), format!("write `{length}`, or leave it out"));
    }
    let (number, unit) = amount(shown);
    if unit == "M" {
        let what = format!("`{text}` may mean minutes or months");
        return Problem::new(
            what,
            format!("write `{number}m` for minutes, `{}d` for months", number.parse().unwrap_or(1u64).saturating_mul(30)),
        );
    }
    let known = LENGTHS.iter().find(|(name, _)| *name == unit || OTHERS.iter().any(|(own, others)| own == name && others.contains(&unit)));
    let Some((unit, scale)) = known else { return Problem::new(what, sample) };
    match number.parse::<f64>() {
        Ok(n) if number.contains('.') && n > 0.0 && n < 1e9 => Problem::meant(what, duration_text((n * *scale as f64).round() as u64)),
        Ok(n) if n < 1e18 && !number.contains('.') => Problem::meant(what, format!("{number}{unit}")),
        _ => Problem::new(what, sample),
    }
}

/// What a size is that cannot be read, and what may be meant by it.
fn odd_size(text: &str, number: &str, unit: &str) -> Problem {
    let (number, spaced) = if unit.starts_with(['.', ' ']) { amount(text) } else { (number, unit) };
    let named = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(spaced));
    let what = format!("`{unit}` is not a unit of size");
    if let (Ok(n), Some((_, scale))) = (number.parse::<f64>(), named)
        && number.contains('.')
        && n < 1e6
    {
        return Problem::meant(format!("`{text}` is not a size"), size_text((n * *scale as f64).round() as u64));
    }
    if let Some((name, _)) = named {
        return Problem::meant(what, format!("{number}{name}"));
    }
    match spaced.to_ascii_uppercase().as_str() {
        letter @ ("K" | "M" | "G" | "T" | "P") => {
            let help = format!("write `{number}{letter}iB` (a power of 1024) or `{number}{letter}B` (a power of 1000)");
            Problem::new(what, help)
        }
        _ => Problem::new(what, format!("write `{number}GiB`, `{number}MB` or another size with its unit")),
    }
}

/// A number, perhaps with a fraction, and the word behind it.
fn amount(text: &str) -> (&str, &str) {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    (number, unit.trim_start())
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [("250ms", 250), ("30s", 30_000), ("1h30m", 5_400_000), ("12w", 12 * 7 * 86_400_000), ("0s", 0)] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "30", "00:05:00", "-5s", "1.5h", "5 m", "m", "30m1h", "1m30m", "5q", "99999999999999999999s", "12mo", "7y"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
        assert_eq!(duration_ms("30").unwrap_err().what, "`30` has no unit");
        assert_eq!(kept_ms("12mo"), Ok(360 * 86_400_000));
        assert_eq!(kept_ms("1y6mo"), Ok((365 + 180) * 86_400_000));
    }

    #[test]
    fn texts_read_back() {
        for ms in [0, 1, 999, 1000, 61_000, 5_400_000, 10 * 86_400_000, 90_061_001] {
            assert_eq!(duration_ms(&duration_text(ms)), Ok(ms));
        }
        for bytes in [1, 1000, 1024, 400 << 30, 1_500_000] {
            assert_eq!(size_bytes(&size_text(bytes)), Ok(bytes));
        }
        assert_eq!(size_text(400 << 30), "400GiB");
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(size_bytes("5MB"), Ok(5_000_000));
        for text in ["10", "GiB", "10 GiB", "10gib", "1.5GiB"] {
            assert!(size_bytes(text).is_err(), "{text}");
        }
        assert!(time("2026-11-21T03:00:00Z").is_ok());
        assert!(time("2026-11-21 03:00").is_err());
    }
}
