//! What the actions on ClickHouse share: its HTTP interface, names and texts in statements, places of backups, and the
//! operations that it carries out by itself. It does not know what a step wants.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Call, Ctx, Field, Type, given, shell, template, words};
use crate::world::{Answer, Fault, Request, Response, Rows};

/// Longest time of one statement.
pub const LOOK_MS: u64 = 60_000;

/// Pause between two looks at an operation.
pub const PAUSE: Duration = Duration::from_millis(200);

/// Exceptions after which nobody knows whether it happened: time-outs, cut networks, cancelled queries, Keeper.
const UNKNOWN: &[&str] = &["159", "209", "210", "394", "999"];

/// Where a backup lies.
pub const PLACE: &[Field] = &[
    Field::optional("file", Type::Text, "a path under the server's `backups.allowed_path`"),
    Field::optional("disk", Type::Text, "a disk of the server, with `path`"),
    Field::optional("s3", Type::Url, "address of a place in S3, for which the server has credentials itself"),
    Field::optional("collection", Type::Text, "a named collection of the server that says where and as whom, with `path`"),
    Field::optional("path", Type::Text, "path on the disk or in the collection"),
];

/// A name as ClickHouse writes it, whatever it holds.
pub fn identifier(name: &str) -> Answer<String> {
    match name.is_empty() || name.contains('\0') {
        true => Err(Fault::refused("the name of a table or database is empty or holds a NUL")),
        false => Ok(format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))),
    }
}

/// A text as ClickHouse writes it: statements on backups take no parameters.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\0', "\\0"))
}

/// The database of the step.
pub fn database(ctx: &Ctx<'_>) -> Answer<String> {
    Ok(given::text(&ctx.asset()?.connect, "database").unwrap_or_else(|| "default".to_owned()))
}

/// A statement that only looks. It goes by GET, for which the server itself refuses to write.
pub async fn look(ctx: &Ctx<'_>, sql: &str, params: &[(String, Value)]) -> Answer<Rows> {
    exchange(ctx, "GET", sql, params).await
}

/// A statement that changes something; what it gives.
pub async fn tell(ctx: &Ctx<'_>, sql: &str) -> Answer<Rows> {
    exchange(ctx, "POST", sql, &[]).await
}

async fn exchange(ctx: &Ctx<'_>, method: &str, sql: &str, params: &[(String, Value)]) -> Answer<Rows> {
    let connect = &ctx.asset()?.connect;
    let url = given::need(connect, "url")?;
    // `wait_end_of_query`: what goes wrong in the middle gives its own status, and not half an answer with a good one.
    let mut query = vec![("wait_end_of_query".to_owned(), "1".to_owned()), ("default_format".to_owned(), "JSONCompact".to_owned())];
    query.extend(params.iter().map(|(name, value)| (format!("param_{name}"), escaped(value))));
    if method == "GET" {
        query.push(("query".to_owned(), sql.to_owned()));
    }
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect();
    let join = if url.contains('?') { "&" } else { "?" };
    let headers = [("user", "X-ClickHouse-User"), ("password", "X-ClickHouse-Key"), ("database", "X-ClickHouse-Database")];
    let request = Request {
        method: method.to_owned(),
        url: format!("{url}{join}{}", query.join("&")),
        headers: headers.iter().filter_map(|(key, name)| Some(((*name).to_owned(), given::text(connect, key)?))).collect(),
        body: (method == "POST").then(|| sql.to_owned()),
        timeout_ms: ctx.exchange_ms(LOOK_MS),
    };
    let response = ctx.world.http.send(&request).await?;
    answered(ctx, response, method == "POST")
}

fn answered(ctx: &Ctx<'_>, response: Response, changes: bool) -> Answer<Rows> {
    let code = response.headers.iter().find(|(name, _)| name == "x-clickhouse-exception-code").map(|(_, code)| code.as_str());
    let unsure = |why: String| if changes { Fault::lost(why) } else { Fault::refused(why) };
    if response.status != 200 || code.is_some() {
        let said = ctx.struck(response.body.trim());
        let said: String = said.lines().next().unwrap_or_default().chars().take(500).collect();
        let why = format!("ClickHouse answered {}: {said}", response.status);
        return Err(match code {
            Some(code) if UNKNOWN.contains(&code) => unsure(why),
            Some(_) => Fault::refused(why),
            None if response.status < 500 => Fault::refused(why),
            None => unsure(why),
        });
    }
    // A statement that gives no rows gives nothing at all.
    if changes && response.body.is_empty() {
        return Ok(Rows::new());
    }
    if response.truncated {
        return Err(unsure("the answer is longer than what is read".to_owned()));
    }
    read(&response.body).map_err(|why| unsure(format!("this is no whole answer of ClickHouse: {why}")))
}

/// Rows of `JSONCompact`: its last part counts them, so that a part that was cut off is missed.
fn read(body: &str) -> Result<Rows, &'static str> {
    let whole: Value = serde_json::from_str(body).map_err(|_| "it is not JSON")?;
    if whole.get("exception").is_some() {
        return Err("an exception cut it off");
    }
    let list = |key: &str| whole.get(key).and_then(Value::as_array);
    let (Some(meta), Some(data)) = (list("meta"), list("data")) else { return Err("it has no columns or no rows") };
    if whole.get("rows").and_then(Value::as_u64) != u64::try_from(data.len()).ok() {
        return Err("it has not as many rows as it says");
    }
    let columns: Vec<(&str, &str)> = meta.iter().filter_map(|c| Some((c.get("name")?.as_str()?, c.get("type")?.as_str()?))).collect();
    let row = |row: &Value| {
        let cells = row.as_array().filter(|cells| cells.len() == columns.len())?;
        Some(columns.iter().zip(cells).map(|((name, kind), cell)| ((*name).to_owned(), number(kind, cell))).collect::<Map<_, _>>())
    };
    data.iter().map(row).collect::<Option<Rows>>().ok_or("a row has not as many values as there are columns")
}

/// Long whole numbers come as texts from servers that are set so.
fn number(kind: &str, cell: &Value) -> Value {
    match (kind.contains("Int"), cell.as_str()) {
        (true, Some(text)) => text.parse::<i64>().map(Value::from).unwrap_or_else(|_| cell.clone()),
        _ => cell.clone(),
    }
}

/// A parameter as the interface reads it: escaped as in a line of values between tabs.
pub fn escaped(value: &Value) -> String {
    match value {
        Value::Null => "\\N".to_owned(),
        Value::String(text) => text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r"),
        other => other.to_string(),
    }
}

fn percent(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A place as a statement names it; the last part of its path is `name`, if there is one.
pub fn place(place: &Map<String, Value>, name: Option<&str>) -> Answer<String> {
    let below = |path: String| match name {
        Some(name) => format!("{}/{name}/", path.trim_end_matches('/')).trim_start_matches('/').to_owned(),
        None => path,
    };
    let text = |key: &str| given::text(place, key).filter(|t| !t.is_empty());
    let path = text("path").unwrap_or_default();
    match (text("file"), text("disk"), text("s3"), text("collection")) {
        (Some(file), None, None, None) => Ok(format!("File({})", literal(&below(file)))),
        (None, Some(disk), None, None) => Ok(format!("Disk({}, {})", literal(&disk), literal(&below(path)))),
        (None, None, Some(url), None) => Ok(format!("S3({})", literal(&below(url)))),
        (None, None, None, Some(known)) => Ok(format!("S3({}, {})", identifier(&known)?, literal(&below(path)))),
        _ => Err(Fault::refused("exactly one of `file`, `disk`, `s3`, `collection` says where the backup lies")),
    }
}

/// [`place`] for documents, where a part may not be known yet.
pub fn place_shown(call: &Call<'_>, field: &str, name: Option<&str>) -> String {
    let given = given::record(call.with, field);
    given.and_then(|p| place(p, name).ok()).unwrap_or_else(|| "File('where the backup lies')".to_owned())
}

/// Fields that say too little or too much of a place.
pub fn place_problems(call: &Call<'_>, field: &'static str) -> Vec<(&'static str, String, String)> {
    let mut out = problems(call);
    if given::record(call.with, field).is_some_and(|p| place(p, None).is_err()) {
        let what = "exactly one of `file`, `disk`, `s3`, `collection` says where the backup lies".to_owned();
        out.push((field, what, format!("{field}: {{ disk: backups, path: prices }}")));
    }
    out
}

/// A server that the plan does not name.
pub fn problems(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    match call.target.and_then(|t| t.connect.get("url")).is_some_and(|v| !v.is_null()) {
        true => vec![],
        false => vec![(
            "",
            "nothing says which server is meant".to_owned(),
            "connect: { url: \"https://clickhouse.example.com:8443\" }".to_owned(),
        )],
    }
}

/// The tables of a step.
pub fn tables(with: &Map<String, Value>) -> Vec<String> {
    given::list(with, "tables").iter().map(template::plain).collect()
}

/// How an operation of the server stands, by its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// `BACKUP_CREATED`, `RESTORING`, …
    pub status: String,
    /// What went wrong.
    pub error: String,
    /// Files of it.
    pub files: i64,
    /// Bytes of it.
    pub size: i64,
    /// When it began and ended, UTC.
    pub times: (String, String),
}

/// An operation; none if the server knows none of that id (any more: it forgets when it is started).
pub async fn operation(ctx: &Ctx<'_>, id: &str) -> Answer<Option<Operation>> {
    let sql = "select toString(status) as status, error, num_files, total_size, \
               formatDateTime(start_time, '%Y-%m-%dT%H:%i:%SZ', 'UTC') as started, formatDateTime(end_time, '%Y-%m-%dT%H:%i:%SZ', 'UTC') as ended \
               from system.backups where id = {id:String}";
    let rows = look(ctx, sql, &[("id".to_owned(), json!(id))]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let text = |key: &str| row.get(key).map(template::plain).unwrap_or_default();
    let number = |key: &str| row.get(key).and_then(Value::as_i64).unwrap_or(0);
    Ok(Some(Operation {
        status: text("status"),
        error: ctx.struck(text("error").split(", Stack trace").next().unwrap_or_default()),
        files: number("num_files"),
        size: number("total_size"),
        times: (text("started"), text("ended")),
    }))
}

/// Waits until an operation that was begun has ended, well or not. The attempt's own limit ends the wait.
pub async fn ended(ctx: &Ctx<'_>, id: &str) -> Answer<Operation> {
    loop {
        let lost = |why: String| Fault::lost(format!("it was begun, but {why}"));
        let found = operation(ctx, id).await.map_err(|f| lost(format!("the server cannot be asked how it stands: {f}")))?;
        let found = found.ok_or_else(|| lost("the server has forgotten it: it was started anew".to_owned()))?;
        if !matches!(found.status.as_str(), "CREATING_BACKUP" | "RESTORING") {
            return Ok(found);
        }
        ctx.world.clock.sleep(PAUSE).await;
    }
}

/// When the server was started, in seconds: what it knows of operations is not older.
pub async fn started(ctx: &Ctx<'_>) -> Answer<i64> {
    let rows = look(ctx, "select toUnixTimestamp(now()) - uptime() as started", &[]).await?;
    let found = rows.first().and_then(|row| row.get("started")).and_then(Value::as_i64);
    found.ok_or_else(|| Fault::refused("ClickHouse did not say since when it runs"))
}

/// `ask SQL [--data-urlencode param_x=…]` for the lines that follow; user and password by standard input.
pub fn asks(call: &Call<'_>) -> String {
    let (curl, url) = curl(call);
    format!("ask() {{ q=$1; shift; {curl} --get --data-urlencode \"query=$q\" -d wait_end_of_query=1 \"$@\" --url {url}; }}\n")
}

/// `ask`, and `tell SQL`, which changes something.
pub fn tells(call: &Call<'_>) -> String {
    let (curl, url) = curl(call);
    format!("{}tell() {{ {curl} --data-binary \"$1\" --url {url}; }}\n", asks(call))
}

/// The words that ask a server, but what they ask, and its address.
fn curl(call: &Call<'_>) -> (String, String) {
    let connect = |key: &str| call.target.and_then(|t| t.connect.get(key)).filter(|v| !v.is_null());
    let url = connect("url").map_or_else(|| "'(url is not given)'".to_owned(), shell::word);
    let mut headers = String::new();
    for (key, name) in [("user", "X-ClickHouse-User"), ("password", "X-ClickHouse-Key"), ("database", "X-ClickHouse-Database")] {
        if let Some(value) = connect(key) {
            headers.push_str(&format!(" {}", shell::word(&Value::String(format!("{name}: {}", template::plain(value))))));
        }
    }
    let (given, option) = if headers.is_empty() { (String::new(), "") } else { (format!("printf '%s\\n'{headers} | "), " -H @-") };
    (format!("{given}curl -gsS --fail-with-body --proto '=http,https'{option}"), url)
}

/// The server of a step as a document shows it.
pub fn shown(call: &Call<'_>) -> String {
    words::value(&call.target.and_then(|t| t.connect.get("url")).cloned().unwrap_or_else(|| json!("(url is not given)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_answer_is_none() {
        let good = r#"{"meta":[{"name":"n","type":"UInt64"}],"data":[["7"],[8]],"rows":2}"#;
        assert_eq!(read(good).unwrap().iter().map(|r| r["n"].clone()).collect::<Vec<_>>(), [json!(7), json!(8)]);
        for (bad, why) in [
            (r#"{"meta":[{"name":"n","type":"UInt64"}],"data":[["7"]],"rows":2}"#, "as many rows"),
            (r#"{"meta":[{"name":"n","type":"UInt64"}],"data":[["7"]],"rows":1,"exception":"Code: 1"}"#, "an exception"),
            (r#"{"meta":[{"name":"n","type":"UInt64"}],"data":[["7"]"#, "not JSON"),
            (r#"{"meta":[{"name":"n","type":"UInt64"}],"data":[[]],"rows":1}"#, "as many values"),
            ("[]", "no columns"),
        ] {
            assert!(read(bad).unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn no_value_ends_its_quotes() {
        assert_eq!(identifier("a`; drop table b").unwrap(), "`a\\`; drop table b`");
        assert_eq!(identifier("a\\").unwrap(), "`a\\\\`");
        assert!(identifier("").is_err());
        assert_eq!(literal("it's \\"), "'it\\'s \\\\'");
    }
}
