//! `http.check`: asks an address and looks at the answer.

use serde_json::{Map, Value, json};

use super::matcher::{self, judge, judge_all};
use super::{Action, Call, Ctx, Field, Manual, Output, Outputs, Type, given, shell, template, units, words};
use crate::world::{Answer, Fault, Request, Response};

const TIMEOUT_MS: u64 = 10_000;

const EXPECT: &[Field] = &[
    Field::optional("status", Type::Matcher, "status code"),
    Field::optional("headers", Type::Map(&Type::Matcher), "header fields, by name in any case"),
    Field::optional("json", Type::Matchers, "values in the JSON body, by dotted path"),
    Field::optional("body", Type::Matcher, "the body as text"),
    Field::optional("reachable", Type::Bool, "false: no answer is the answer that is wanted"),
];

pub(super) static ACTION: Action = Action {
    name: "http.check",
    page: include_str!("http_check.md"),
    fields: &[
        Field::optional("url", Type::Url, "the address; else `url` of the asset's `connect`"),
        Field::default("method", Type::Word(&["GET", "HEAD"]), "GET", "how to ask"),
        Field::optional("headers", Type::Map(&Type::Secret), "header fields to send"),
        Field::optional("expect", Type::Record(EXPECT), "what the answer must be; without it any answer passes"),
        Field::default("timeout", Type::Duration, "10s", "limit of one exchange"),
    ],
    outputs: &[
        Output::new("reachable", Type::Bool, "whether there was an answer"),
        Output::new("status", Type::Int, "status code"),
        Output::new("ms", Type::Int, "how long the answer took, in milliseconds"),
        Output::new("json", Type::Any, "the JSON body, if it is at most 64 KiB and no secret was sent"),
    ],
    sentence: |call| format!("Ask {} and see that {}", words::value(&call.shown("url")), wanted(call)),
    seen: wanted,
    commands,
    check,
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn expected<'a>(call: &Call<'a>) -> Option<&'a Map<String, Value>> {
    given::record(call.with, "expect")
}

fn wants_silence(expect: Option<&Map<String, Value>>) -> bool {
    expect.and_then(|e| e.get("reachable")) == Some(&Value::Bool(false))
}

fn wanted(call: &Call<'_>) -> String {
    let Some(expect) = expected(call).filter(|e| !e.is_empty()) else { return "it answers".to_owned() };
    if wants_silence(Some(expect)) {
        return "nothing answers".to_owned();
    }
    let mut out = Vec::new();
    expect.get("status").into_iter().for_each(|m| out.push(format!("the status {}", words::matcher(m))));
    for (name, m) in given::record(expect, "headers").into_iter().flatten() {
        out.push(format!("header {} {}", words::code(name), words::matcher(m)));
    }
    for (path, m) in given::record(expect, "json").into_iter().flatten() {
        out.push(format!("{} {}", words::code(path), words::matcher(m)));
    }
    expect.get("body").into_iter().for_each(|m| out.push(format!("the body {}", words::matcher(m))));
    if out.is_empty() { "it answers".to_owned() } else { words::list(&out) }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let expect = expected(call);
    let limit = call.known("timeout").and_then(|t| units::duration_ms(&template::plain(t)).ok()).unwrap_or(TIMEOUT_MS).div_ceil(1000);
    let mut curl = format!("curl -gsS --proto '=http,https' --max-time {limit}");
    if call.known("method").is_some_and(|m| m == "HEAD") {
        curl.push_str(" -I");
    }
    // Header fields go through standard input: an argument is seen by every user of the machine.
    let headers: Vec<String> = given::record(call.with, "headers")
        .into_iter()
        .flatten()
        .map(|(name, value)| shell::word(&Value::String(format!("{}: {}", name.replace("${", "$${"), template::plain(value)))))
        .collect();
    if !headers.is_empty() {
        curl = format!("printf '%s\\n' {} | {curl} -H @-", headers.join(" "));
    }
    let url = shell::word(&call.shown("url"));
    let script = if wants_silence(expect) {
        format!("! {curl} -o /dev/null --url {url}")
    } else {
        let mut script = format!("ANSWER=$({curl} -w '\\n%{{http_code}}\\n' --url {url}); printf '%s\\n' \"$ANSWER\"");
        for (name, test) in shell_tests(expect) {
            script.push_str(&format!(" && # {name}\n{test}"));
        }
        script
    };
    vec![Manual {
        what: "Ask the address".to_owned(),
        script,
        changes: false,
        expect: format!("{} (the last line is the status)", wanted(call)),
    }]
}

/// What sh can judge of the answer without another tool: it may be too lenient, never too strict.
fn shell_tests(expect: Option<&Map<String, Value>>) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    let Some(expect) = expect else {
        return vec![("an answer", "[ -n \"$ANSWER\" ]".to_owned())];
    };
    match expect.get("status") {
        Some(Value::Number(status)) => {
            out.push(("the status", format!("[ \"$(printf '%s\\n' \"$ANSWER\" | tail -n 1)\" = {status} ]")));
        }
        _ => out.push(("an answer", "[ \"$(printf '%s\\n' \"$ANSWER\" | tail -n 1)\" != 000 ]".to_owned())),
    }
    for (path, m) in given::record(expect, "json").into_iter().flatten() {
        // Of texts only those that JSON can write in one way alone.
        let plain = m.as_str().is_some_and(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_. ".contains(&b)));
        if m.is_boolean() || m.is_i64() || plain {
            let leaf = path.rsplit('.').next().unwrap_or(path);
            let end = if plain { "" } else { "([^[:alnum:].]|$)" };
            let pattern = format!("\"{}\"[[:space:]]*:[[:space:]]*{}{end}", regex::escape(leaf), m.to_string().replace('.', "\\."));
            out.push(("the body", format!("printf '%s\\n' \"$ANSWER\" | grep -Eq {}", shell::literal(&pattern))));
        }
    }
    out
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = Vec::new();
    match call.field("url").map(template::plain) {
        None => out.push(("url", "nothing says which address to ask".to_owned(), "url: https://example.com/healthz".to_owned())),
        Some(url) if !url.starts_with("${") && !url.starts_with("http://") && !url.starts_with("https://") => {
            out.push(("url", format!("{} is not an http address", words::code(&url)), format!("url: https://{url}")));
        }
        Some(_) => {}
    }
    for (name, value) in given::record(call.with, "headers").into_iter().flatten() {
        if template::plain(value).contains(['\n', '\r', '\0']) || name.contains([':', '\n', '\r', '\0', ' ']) {
            out.push(("headers", format!("header {} does not fit on one line", words::code(name)), "leave out the line break".to_owned()));
        }
    }
    let silent = wants_silence(expected(call));
    if silent && expected(call).is_some_and(|e| e.len() > 1) {
        out.push(("expect", "no answer cannot have a status or a body".to_owned(), "expect: { reachable: false }".to_owned()));
    }
    out
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let url = match given::text(ctx.with, "url") {
        Some(url) => url,
        None => given::need(&ctx.asset()?.connect, "url")?,
    };
    let headers = given::record(ctx.with, "headers").into_iter().flatten();
    let request = Request {
        method: given::text(ctx.with, "method").unwrap_or_else(|| "GET".to_owned()),
        url,
        headers: headers.map(|(name, value)| (name.clone(), template::plain(value))).collect(),
        body: None,
        timeout_ms: ctx.exchange_ms(given::duration_ms(ctx.with, "timeout")?.unwrap_or(TIMEOUT_MS)),
    };
    let expect = given::record(ctx.with, "expect");
    let start = ctx.world.clock.elapsed();
    let mut out = Outputs::new();
    let response = match (ctx.world.http.send(&request).await, wants_silence(expect)) {
        (Ok(response), false) => without_secrets(ctx, response),
        (Err(fault), false) => return Err(fault),
        (Ok(response), true) => return Err(Fault::refused(format!("wanted: nothing answers; found status {}", response.status))),
        (Err(_), true) => {
            out.insert("reachable".to_owned(), json!(false));
            return Ok(out);
        }
    };
    let ms = u64::try_from(ctx.world.clock.elapsed().saturating_sub(start).as_millis()).unwrap_or(u64::MAX);
    let body: Option<Value> = serde_json::from_str(&response.body).ok().filter(|_| !response.truncated);
    judge_response(expect, &response, body.as_ref()).map_err(Fault::refused)?;
    out.insert("reachable".to_owned(), json!(true));
    out.insert("status".to_owned(), json!(response.status));
    out.insert("ms".to_owned(), json!(ms));
    if let Some(body) = body.filter(|_| ctx.secrets.is_empty() && response.body.len() <= 64 << 10) {
        out.insert("json".to_owned(), body);
    }
    Ok(out)
}

/// A server may give back what it was sent.
fn without_secrets(ctx: &Ctx<'_>, response: Response) -> Response {
    if ctx.secrets.is_empty() {
        return response;
    }
    let headers = response.headers.into_iter().map(|(name, value)| (name, ctx.struck(&value)));
    Response { headers: headers.collect(), body: ctx.struck(&response.body), ..response }
}

fn judge_response(expect: Option<&Map<String, Value>>, response: &Response, body: Option<&Value>) -> Result<(), String> {
    let Some(expect) = expect else { return Ok(()) };
    let mut failed = Vec::new();
    if let Some(m) = expect.get("status") {
        failed.extend(judge("status", m, Some(&json!(response.status))).err());
    }
    for (name, m) in given::record(expect, "headers").into_iter().flatten() {
        let found = response.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| Value::String(v.clone()));
        failed.extend(judge(&format!("header {}", words::code(name)), m, found.as_ref()).err());
    }
    if let Some(matchers) = given::record(expect, "json") {
        match body {
            Some(body) => failed.extend(judge_all("", matchers, body).err()),
            None if response.truncated => failed.push("the body is longer than what is read, so its JSON is not known".to_owned()),
            None => failed.push(format!("wanted: {}; the body is not JSON", json_words(matchers))),
        }
    }
    if let Some(m) = expect.get("body") {
        // A cut text could hide what must not be there.
        let whole = if response.truncated { Err("the body is longer than what is read".to_owned()) } else { Ok(()) };
        failed.extend(whole.and_then(|()| judge("the body", m, Some(&Value::String(response.body.clone())))).err());
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

fn json_words(matchers: &Map<String, Value>) -> String {
    words::list(&matchers.iter().map(|(path, m)| format!("{} {}", words::code(path), matcher::words(m))).collect::<Vec<_>>())
}
