//! What actions that speak HTTP share: what an answer must be, how a request is made, sent and judged, and the same with
//! `curl`. It does not know whether a request changes something.

use serde_json::{Map, Value, json};

use super::matcher::{self, judge, judge_all};
use super::{Call, Ctx, Field, Output, Outputs, Type, given, shell, template, units, words};
use crate::world::{Answer, Request, Response};

/// A longer JSON body is not kept.
const JSON_MOST: usize = 64 << 10;

/// The last line of what `curl` gave: the status.
const LAST_LINE: &str = "\"$(printf '%s\\n' \"$ANSWER\" | tail -n 1)\"";

pub(super) const STATUS: Field = Field::optional("status", Type::Matcher, "status code");
pub(super) const HEADERS: Field = Field::optional("headers", Type::Map(&Type::Matcher), "header fields, by name in any case");
pub(super) const JSON: Field = Field::optional("json", Type::Matchers, "values in the JSON body, by dotted path");
pub(super) const BODY: Field = Field::optional("body", Type::Matcher, "the body as text");
pub(super) const SENT_HEADERS: Field = Field::optional("headers", Type::Map(&Type::Secret), "header fields to send");

pub(super) const STATUS_FOUND: Output = Output::new("status", Type::Int, "status code");
pub(super) const MS_FOUND: Output = Output::new("ms", Type::Int, "how long the answer took, in milliseconds");
pub(super) const JSON_FOUND: Output = Output::new("json", Type::Any, "the JSON body, if it is at most 64 KiB and no secret was sent");

/// Everything that an answer must be, each in words.
pub(super) fn wanted(expect: &Map<String, Value>) -> Vec<String> {
    let mut out = Vec::new();
    expect.get("status").into_iter().for_each(|m| out.push(format!("the status {}", words::matcher(m))));
    for (name, m) in given::record(expect, "headers").into_iter().flatten() {
        out.push(format!("header {} {}", words::code(name), words::matcher(m)));
    }
    for (path, m) in given::record(expect, "json").into_iter().flatten() {
        out.push(format!("{} {}", words::code(path), words::matcher(m)));
    }
    expect.get("body").into_iter().for_each(|m| out.push(format!("the body {}", words::matcher(m))));
    out
}

/// A request as a person sends it, each value a word of sh.
pub(super) struct Typed {
    /// The address.
    pub url: Value,
    /// `GET`, …
    pub method: String,
    /// Header fields, `name: value`.
    pub headers: Vec<String>,
    /// The body.
    pub body: Option<String>,
    /// Longest time, in seconds.
    pub limit_s: u64,
}

impl Typed {
    /// The line of sh, with more options. What may be a secret goes through pipes: an argument is seen by every user of
    /// the machine.
    pub fn line(&self, options: &str) -> String {
        let mut curl = format!("curl -gsS --proto '=http,https' --max-time {}", self.limit_s);
        match self.method.as_str() {
            "GET" => {}
            "HEAD" => curl.push_str(" -I"),
            other => curl.push_str(&format!(" -X {other}")),
        }
        if self.body.is_some() {
            curl.push_str(" --data-binary @/dev/fd/3");
        }
        let headers = self.headers.join(" ");
        let secret = template::references(&self.url).iter().any(|path| path.starts_with("secrets."));
        let line = match (secret, headers.is_empty()) {
            (false, true) => format!("{curl}{options} --url {}", shell::word(&self.url)),
            (false, false) => format!("printf '%s\\n' {headers} | {curl} -H @-{options} --url {}", shell::word(&self.url)),
            (true, _) => {
                let escape = "sed 's/[\\\\\"]/\\\\&/g'";
                let url = format!("printf 'url = \"%s\"\\n' \"$(printf '%s' {} | tr -d '\\r\\n' | {escape})\"", shell::word(&self.url));
                let fields = format!("printf '%s\\n' {headers} | {escape} | sed 's/.*/header = \"&\"/'");
                let config = if headers.is_empty() { url } else { format!("{{ {url}; {fields}; }}") };
                format!("{config} | {curl} -K -{options}")
            }
        };
        match &self.body {
            Some(body) => format!("printf '%s' {body} | {{ exec 3<&0; {line}; }}"),
            None => line,
        }
    }

    /// The request, and what sh can judge of its answer without another tool: it may be too lenient, never too strict.
    pub fn judged(&self, expect: Option<&Map<String, Value>>, unsaid: (&'static str, String)) -> String {
        let mut script = format!("ANSWER=$({}); printf '%s\\n' \"$ANSWER\"", self.line(" -w '\\n%{http_code}\\n'"));
        for (name, test) in shell_tests(expect, unsaid) {
            script.push_str(&format!(" && # {name}\n{test}"));
        }
        script
    }
}

/// The test of sh that there was an answer at all.
pub(super) fn any_answer() -> (&'static str, String) {
    ("an answer", format!("[ {LAST_LINE} != 000 ]"))
}

/// The test of sh that the status is good.
pub(super) fn good_status() -> (&'static str, String) {
    ("the status", format!("case {LAST_LINE} in 2??) ;; *) false ;; esac"))
}

fn shell_tests(expect: Option<&Map<String, Value>>, unsaid: (&'static str, String)) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    match expect.and_then(|e| e.get("status")) {
        Some(Value::Number(status)) => out.push(("the status", format!("[ {LAST_LINE} = {status} ]"))),
        Some(_) => out.push(any_answer()),
        None => out.push(unsaid),
    }
    for (path, m) in expect.and_then(|e| given::record(e, "json")).into_iter().flatten() {
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

/// Header fields of a step as words of sh.
pub(super) fn typed_headers(with: &Map<String, Value>) -> Vec<String> {
    let fields = given::record(with, "headers").into_iter().flatten();
    fields.map(|(name, value)| typed_header(name, value)).collect()
}

/// One header field as a word of sh.
pub(super) fn typed_header(name: &str, value: &Value) -> String {
    shell::word(&Value::String(format!("{}: {}", name.replace("${", "$${"), template::plain(value))))
}

/// The limit of one exchange in whole seconds, as far as it is known.
pub(super) fn limit_s(call: &Call<'_>, default_ms: u64) -> u64 {
    call.known("timeout").and_then(|t| units::duration_ms(&template::plain(t)).ok()).unwrap_or(default_ms).div_ceil(1000)
}

/// What is wrong with an address and header fields.
pub(super) fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = Vec::new();
    match call.field("url").map(template::plain) {
        None => out.push(("url", "nothing says which address to ask".to_owned(), "url: https://example.com/healthz".to_owned())),
        Some(url) if !url.starts_with("${") && !url.starts_with("http://") && !url.starts_with("https://") => {
            out.push(("url", format!("{} is not an http address", words::code(&url)), format!("url: https://{url}")));
        }
        Some(_) => {}
    }
    for (name, value) in given::record(call.with, "headers").into_iter().flatten() {
        if template::plain(value).contains(['\n', '\r', '\0']) || !header_name(name) {
            out.push(("headers", format!("header {} does not fit on one line", words::code(name)), "leave out the line break".to_owned()));
        }
    }
    out
}

/// True if this can be the name of a header field.
pub(super) fn header_name(name: &str) -> bool {
    !name.is_empty() && !name.contains([':', '\n', '\r', '\0', ' '])
}

/// A request without a body: the address of the fields, else of the target; their header fields.
pub(super) fn request(ctx: &Ctx<'_>, method: &str, limit_ms: u64) -> Answer<Request> {
    let url = match given::text(ctx.with, "url") {
        Some(url) => url,
        None => given::need(&ctx.asset()?.connect, "url")?,
    };
    let headers = given::record(ctx.with, "headers").into_iter().flatten();
    Ok(Request {
        method: method.to_owned(),
        url,
        headers: headers.map(|(name, value)| (name.clone(), template::plain(value))).collect(),
        body: None,
        timeout_ms: ctx.exchange_ms(given::duration_ms(ctx.with, "timeout")?.unwrap_or(limit_ms)),
    })
}

/// Adds a header field unless the plan gave one of that name.
pub(super) fn unless_given(request: &mut Request, name: &str, value: &str) {
    if !request.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
        request.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// An answer, without what it repeats of secrets, and what is known of it.
pub(super) struct Answered {
    /// The answer.
    pub response: Response,
    /// Its body, if that is whole and JSON.
    pub json: Option<Value>,
    ms: u64,
}

/// Sends a request.
pub(super) async fn exchange(ctx: &Ctx<'_>, request: &Request) -> Answer<Answered> {
    let start = ctx.world.clock.elapsed();
    let response = without_secrets(ctx, ctx.world.http.send(request).await?);
    let ms = u64::try_from(ctx.world.clock.elapsed().saturating_sub(start).as_millis()).unwrap_or(u64::MAX);
    let json = serde_json::from_str(&response.body).ok().filter(|_| !response.truncated);
    Ok(Answered { response, json, ms })
}

/// A server may give back what it was sent.
fn without_secrets(ctx: &Ctx<'_>, response: Response) -> Response {
    if ctx.secrets.is_empty() {
        return response;
    }
    let headers = response.headers.into_iter().map(|(name, value)| (name, ctx.struck(&value)));
    Response { headers: headers.collect(), body: ctx.struck(&response.body), ..response }
}

impl Answered {
    /// What it gave, for later steps.
    pub fn outputs(self, ctx: &Ctx<'_>) -> Outputs {
        let mut out = Outputs::new();
        out.insert("status".to_owned(), json!(self.response.status));
        out.insert("ms".to_owned(), json!(self.ms));
        let kept = ctx.secrets.is_empty() && self.response.body.len() <= JSON_MOST;
        self.json.filter(|_| kept).into_iter().for_each(|body| drop(out.insert("json".to_owned(), body)));
        out
    }

    /// Whether it is what was wanted; if not, all that is wrong with it.
    pub fn judge(&self, expect: Option<&Map<String, Value>>) -> Result<(), String> {
        let (Some(expect), response) = (expect, &self.response) else { return Ok(()) };
        let mut failed = Vec::new();
        if let Some(m) = expect.get("status") {
            failed.extend(judge("status", m, Some(&json!(response.status))).err());
        }
        for (name, m) in given::record(expect, "headers").into_iter().flatten() {
            let found = response.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| Value::String(v.clone()));
            failed.extend(judge(&format!("header {}", words::code(name)), m, found.as_ref()).err());
        }
        if let Some(matchers) = given::record(expect, "json") {
            match &self.json {
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
}

fn json_words(matchers: &Map<String, Value>) -> String {
    words::list(&matchers.iter().map(|(path, m)| format!("{} {}", words::code(path), matcher::words(m))).collect::<Vec<_>>())
}
