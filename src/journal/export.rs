//! One run as a text, for another journal or for an archive: a line of JSON for each event, and a last one with the count
//! and the head. It does not know where it is kept.
//!
//! The lines are written in one way only, and read in that way only: a byte that is another one is seen, also where JSON
//! would mean the same.

use jiff::Timestamp;

use super::{Entry, Error, Head, Result, Row, check_rows};

/// A run that was read from a text, every byte of it checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// The run.
    pub run: String,
    /// Its rows, at least one.
    pub rows: Vec<Row>,
    /// What they hold.
    pub entries: Vec<Entry>,
}

impl Export {
    /// Its last event.
    pub fn head(&self) -> Head {
        self.rows.last().map(Head::of).unwrap_or_default()
    }
}

/// A run's rows as a text.
pub fn write(run: &str, rows: &[Row]) -> String {
    let mut out: String = rows.iter().map(line).collect();
    out.push_str(&last_line(run, &rows.last().map(Head::of).unwrap_or_default()));
    out
}

/// Reads and checks the bytes of a text. What is wrong is [`Error::Damaged`], with its line.
pub fn read(bytes: &[u8]) -> Result<Export> {
    let no_text = |e: std::str::Utf8Error| Error::Damaged(format!("the export is not UTF-8 from byte {} on", e.valid_up_to()));
    let text = std::str::from_utf8(bytes).map_err(no_text)?;
    let damaged = |line: usize, why: &str| Error::Damaged(format!("line {line} of the export: {why}"));
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let count = lines.len();
    let last = lines.pop().ok_or_else(|| Error::Damaged("the export is empty".to_owned()))?;
    let cut = "is not the last line of an export: the end was cut off, or its bytes were changed";
    let (run, head) = read_last(last).ok_or_else(|| damaged(count, cut))?;
    let mut rows = Vec::with_capacity(lines.len());
    for (n, text) in lines.iter().enumerate() {
        let row = read_line(text).filter(|row| line(row) == *text);
        rows.push(row.ok_or_else(|| damaged(n + 1, "is not a line as an export has it: its bytes were changed"))?);
    }
    let entries = check_rows(&run, &Head::default(), &rows)?;
    let export = Export { run, rows, entries };
    if export.rows.is_empty() || export.head() != head {
        let why = format!("it counts {} events up to this head, and {} are here: events were cut, added or changed", head.seq, count - 1);
        return Err(damaged(count, &why));
    }
    Ok(export)
}

fn line(row: &Row) -> String {
    format!("{{\"seq\":{},\"at\":\"{}\",\"digest\":\"{}\",\"event\":{}}}\n", row.seq, row.at, row.digest, row.body)
}

fn read_line(line: &str) -> Option<Row> {
    let (seq, rest) = line.strip_prefix("{\"seq\":")?.split_once(",\"at\":\"")?;
    let (at, rest) = rest.split_once("\",\"digest\":\"")?;
    let (digest, rest) = rest.split_once("\",\"event\":")?;
    let body = rest.strip_suffix("}\n")?;
    Some(Row { seq: seq.parse().ok()?, at: at.parse::<Timestamp>().ok()?, body: body.to_owned(), digest: digest.to_owned() })
}

fn last_line(run: &str, head: &Head) -> String {
    format!("{{\"run\":\"{run}\",\"count\":{},\"head\":\"{}\"}}\n", head.seq, head.digest)
}

fn read_last(line: &str) -> Option<(String, Head)> {
    let (run, rest) = line.strip_prefix("{\"run\":\"")?.split_once("\",\"count\":")?;
    let (count, rest) = rest.split_once(",\"head\":\"")?;
    let digest = rest.strip_suffix("\"}\n")?;
    let head = Head { seq: count.parse().ok()?, digest: digest.to_owned() };
    (last_line(run, &head) == line).then(|| (run.to_owned(), head))
}
