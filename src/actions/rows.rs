//! What a query found, against what a plan wants of it. It does not know which database was asked.

use serde_json::{Value, json};

use super::matcher::judge;
use super::{Call, Ctx, Outputs, shell, words};
use crate::world::{Answer, Fault, Rows};

/// The one column of the first row; none if there is no row. A row of several columns has no first: the error says so.
pub fn only_value(rows: &Rows) -> Result<Option<Value>, String> {
    match rows.first() {
        None => Ok(None),
        Some(row) if row.len() == 1 => Ok(row.values().next().cloned()),
        Some(row) => Err(format!("the query gives {} columns: let it give one, which `expect` looks at", row.len())),
    }
}

/// The longest value and the longest row that are outputs, in bytes.
const LONGEST: usize = 64 << 10;

/// Judges `expect` and `rows` of a step and gives the outputs `value`, `row` and `rows`.
pub fn judged(ctx: &Ctx<'_>, rows: &Rows) -> Answer<Outputs> {
    let with = ctx.with;
    let value = only_value(rows).map(|value| value.map(|value| ctx.struck_value(&value)));
    if let Some(matcher) = with.get("expect").filter(|m| !m.is_null()) {
        let value = value.as_ref().map_err(|why| Fault::refused(why.clone()))?;
        judge("the value", matcher, value.as_ref()).map_err(Fault::refused)?;
    }
    if let Some(matcher) = with.get("rows").filter(|m| !m.is_null()) {
        judge("the number of rows", matcher, Some(&json!(rows.len()))).map_err(Fault::refused)?;
    }
    let mut out = Outputs::new();
    out.insert("rows".to_owned(), json!(rows.len()));
    if let Ok(Some(value)) = value {
        out.insert("value".to_owned(), value);
    }
    if let Some(row) = rows.first() {
        out.insert("row".to_owned(), ctx.struck_value(&Value::Object(row.clone())));
    }
    // What is too long to be kept is no output: a step that wants it says that it is not there.
    out.retain(|_, value| value.as_str().map_or_else(|| value.to_string().len(), str::len) <= LONGEST);
    Ok(out)
}

/// What is wanted of the query, in words.
pub fn wanted(call: &Call<'_>) -> String {
    let query = call.with.get("query").map(words::value).unwrap_or_default();
    let mut found = Vec::new();
    call.with.get("expect").into_iter().for_each(|m| found.push(format!("finds what {}", words::matcher(m))));
    call.with.get("rows").into_iter().for_each(|m| found.push(format!("finds rows whose number {}", words::matcher(m))));
    let found = if found.is_empty() { "is answered".to_owned() } else { words::list(&found) };
    format!("{query} {found}")
}

/// `VARIABLE=$(COMMAND); show it; test it`: the variable is the one that stands for the step's output `value`.
pub fn script(call: &Call<'_>, command: &str) -> String {
    let answer = shell::variable(&format!("steps.{}.value", call.step));
    // On lines of its own: the end of a here-document must stand alone.
    let mut script = format!("{answer}=$(\n{command}\n) && printf '%s\\n' \"${answer}\"");
    if let Some(test) = call.with.get("expect").and_then(|m| shell::test(&answer, m)) {
        script.push_str(&format!(" &&\n{test}"));
    }
    script
}

/// A wish about what is found, without a query that could find it.
pub fn problems(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let lonely = ["expect", "rows"].into_iter().filter(|f| call.with.contains_key(*f) && !call.with.contains_key("query"));
    lonely.map(|f| (f, "there is no query that could find it".to_owned(), "query: select count(*) from …".to_owned())).collect()
}
