//! How an executable of the plan's repository is spoken to: one request, one line of JSON on its standard input; its answer
//! is lines of JSON on its standard output. It does not start anything, and judges no effect.
//!
//! The first line of an answer is `{"drplan": 1}`, the last one holds its only `result`; between them stand as many
//! `{"log": TEXT}` and `{"progress": TEXT}` as it likes. Anything else is no answer.

use serde_json::{Map, Value, json};

use super::described::VERSION;
use crate::world::Exit;

/// What an executable is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// What it is.
    Describe,
    /// The state before, as its probe and its undo need it.
    Before,
    /// Whether its effect is there.
    Probe,
    /// To do it.
    Apply,
    /// To take it back.
    Undo,
}

impl Ask {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Ask::Describe => "describe",
            Ask::Before => "before",
            Ask::Probe => "probe",
            Ask::Apply => "apply",
            Ask::Undo => "undo",
        }
    }

    /// Results that answer it.
    pub fn results(self) -> &'static [&'static str] {
        match self {
            Ask::Describe | Ask::Before => &["ok", "refused"],
            Ask::Probe => &["there", "not_there", "other", "cannot_tell"],
            Ask::Apply => &["ok", "refused", "unknown"],
            Ask::Undo => &["not_there", "other", "cannot_tell", "refused", "unknown"],
        }
    }
}

/// A request, as the line that it is.
pub fn request(ask: Ask, more: &Map<String, Value>) -> String {
    let mut all = Map::from_iter([("drplan".to_owned(), json!(VERSION)), ("do".to_owned(), json!(ask.word()))]);
    all.extend(more.iter().map(|(k, v)| (k.clone(), v.clone())));
    format!("{}\n", Value::Object(all))
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Its `result`.
    pub result: String,
    /// The line that holds it.
    pub line: Map<String, Value>,
    /// What it logged.
    pub log: Vec<String>,
}

impl Reply {
    /// Its `why`.
    pub fn why(&self) -> String {
        self.line.get("why").and_then(Value::as_str).filter(|t| !t.is_empty()).unwrap_or("it gives no reason").to_owned()
    }
}

/// The answer of an executable that ended; an error says in words why it is none.
pub fn reply(ask: Ask, exit: &Exit) -> Result<Reply, String> {
    match (exit.timed_out, exit.signal, exit.code) {
        (true, ..) => return Err("its time was up and it was ended".to_owned()),
        (_, Some(signal), _) => return Err(format!("signal {signal} ended it")),
        (.., None) => return Err("nobody saw how it ended".to_owned()),
        (.., Some(0)) => {}
        (.., Some(code)) => return Err(format!("it ended with exit code {code}: whatever it did, it must end with 0 and say so")),
    }
    if exit.truncated {
        return Err("it said more than is read".to_owned());
    }
    let mut lines = exit.stdout.lines().filter(|l| !l.trim().is_empty());
    let line = |text: &str| serde_json::from_str::<Map<String, Value>>(text).map_err(|_| format!("it said what is no JSON: {}", cut(text)));
    let hello = line(lines.next().ok_or("it said nothing")?)?;
    if hello.len() != 1 || hello.get("drplan") != Some(&json!(VERSION)) {
        return Err(format!("its first line is not {{\"drplan\": {VERSION}}}"));
    }
    let (mut log, mut last) = (Vec::new(), None);
    for text in lines {
        let line = line(text)?;
        if last.is_some() {
            return Err("it went on after its result".to_owned());
        }
        match (line.get("log").or(line.get("progress")), line.get("result").and_then(Value::as_str)) {
            (Some(said), None) if line.len() == 1 => log.push(super::template::plain(said)),
            (None, Some(result)) if ask.results().contains(&result) => last = Some((result.to_owned(), line)),
            (None, Some(result)) => return Err(format!("`{result}` is no answer to `{}`", ask.word())),
            _ => return Err(format!("it said a line of neither `log`, `progress` nor `result`: {}", cut(text))),
        }
    }
    let (result, line) = last.ok_or("it ended without a result")?;
    Ok(Reply { result, line, log })
}

fn cut(text: &str) -> String {
    super::words::code(&text.chars().take(80).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ask: Ask, text: &str) -> Result<Reply, String> {
        reply(ask, &Exit { code: Some(0), stdout: text.to_owned(), ..Exit::default() })
    }

    #[test]
    fn one_answer_and_nothing_else_is_an_answer() {
        let good = "{\"drplan\":1}\n{\"log\":\"a\"}\n\n{\"progress\":0.5}\n{\"result\":\"ok\",\"outputs\":{}}\n";
        let found = said(Ask::Apply, good).unwrap();
        assert_eq!((found.result.as_str(), found.log), ("ok", vec!["a".to_owned(), "0.5".to_owned()]));
        for (text, why) in [
            ("", "said nothing"),
            ("{\"result\":\"ok\"}\n", "first line"),
            ("{\"drplan\":2}\n{\"result\":\"ok\"}\n", "first line"),
            ("{\"drplan\":1}\n", "without a result"),
            ("{\"drplan\":1}\nhello\n{\"result\":\"ok\"}\n", "no JSON: `hello`"),
            ("{\"drplan\":1}\n[1]\n{\"result\":\"ok\"}\n", "no JSON"),
            ("{\"drplan\":1}\n{\"result\":\"ok\"}\n{\"result\":\"ok\"}\n", "went on after"),
            ("{\"drplan\":1}\n{\"result\":\"ok\"}\n{\"log\":\"x\"}\n", "went on after"),
            ("{\"drplan\":1}\n{\"result\":\"there\"}\n", "`there` is no answer to `apply`"),
            ("{\"drplan\":1}\n{\"log\":\"x\",\"result\":\"ok\"}\n", "neither"),
            ("{\"drplan\":1}\n{\"result\":7}\n", "neither"),
        ] {
            let found = said(Ask::Apply, text).unwrap_err();
            assert!(found.contains(why), "{text:?}: {found}");
        }
        for (exit, why) in [
            (Exit { code: Some(1), stdout: good.to_owned(), ..Exit::default() }, "exit code 1"),
            (Exit { code: Some(0), stdout: good.to_owned(), truncated: true, ..Exit::default() }, "more than is read"),
            (Exit { code: Some(0), stdout: good.to_owned(), timed_out: true, ..Exit::default() }, "time was up"),
            (Exit { signal: Some(9), stdout: good.to_owned(), ..Exit::default() }, "signal 9"),
        ] {
            assert!(reply(Ask::Apply, &exit).unwrap_err().contains(why), "{why}");
        }
    }
}
