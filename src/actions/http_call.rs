//! `http.call`: sends a request that may change something, once, and looks at the answer. It does not know what the
//! other side does with it: the plan vouches for its effect.

use serde_json::{Map, Value};

use super::http::{self, Answered, Typed};
use super::{
    Action, Call, Change, Ctx, Dry, Effect, Field, Manual, NO_UNDO, Outputs, Probe, Type, UndoKind, given, shell, template, words,
};
use crate::world::{Answer, Fault, Request};

const TIMEOUT_MS: u64 = 30_000;

/// The header field that holds the key where the plan names no other.
const KEY_HEADER: &str = "Idempotency-Key";

const EXPECT: &[Field] = &[http::STATUS, http::HEADERS, http::JSON, http::BODY];

pub(super) static ACTION: Action = Action {
    name: "http.call",
    page: include_str!("http_call.md"),
    fields: &[
        Field::optional("url", Type::Url, "the address; else `url` of the asset's `connect`"),
        Field::default("method", Type::Word(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]), "POST", "what is asked for"),
        http::SENT_HEADERS,
        Field::optional("body", Type::Secret, "what is sent, as text"),
        Field::optional("json", Type::AnySecret, "what is sent, as JSON; this or `body`"),
        Field::default(
            "key_header",
            Type::Text,
            KEY_HEADER,
            "the header field that holds the step's key, the same at each attempt; `none` for none",
        ),
        Field::optional("expect", Type::Record(EXPECT), "what the answer must be; without it any status of 2xx passes"),
        Field::default("timeout", Type::Duration, "30s", "limit of the exchange"),
    ],
    outputs: &[http::STATUS_FOUND, http::MS_FOUND, http::JSON_FOUND],
    effect: Effect::Once,
    effect_by_plan: true,
    effect_of: |call| reads(call.with).then_some(Effect::Read),
    dry: |with| if reads(with) { Dry::Looks } else { Dry::Never },
    // What was sent may wait at the other side, or before it, for so long.
    settles_ms: 60_000,
    undo: UndoKind::ByPlan,
    sentence: |call| {
        format!("Send {} to {} and see that {}", words::code(&method(call.with)), words::value(&call.shown("url")), wanted(call))
    },
    seen: wanted,
    commands,
    check,
    probe: |_, _| Box::pin(async { Ok(Probe::CannotTell("whether it did anything, only the other side knows".to_owned())) }),
    preview: |ctx, _| Box::pin(preview(ctx)),
    apply: |ctx, _| Box::pin(apply(ctx)),
    undo_apply: NO_UNDO,
    ..Action::READ
};

fn method(with: &Map<String, Value>) -> String {
    given::text(with, "method").unwrap_or_else(|| "POST".to_owned())
}

/// True if the method is one of those that only look.
fn reads(with: &Map<String, Value>) -> bool {
    matches!(method(with).as_str(), "GET" | "HEAD")
}

fn expected(with: &Map<String, Value>) -> Option<&Map<String, Value>> {
    given::record(with, "expect").filter(|e| !e.is_empty())
}

fn wanted(call: &Call<'_>) -> String {
    let mut all = expected(call.with).map(http::wanted).unwrap_or_default();
    if expected(call.with).is_none_or(|e| !e.contains_key("status")) {
        all.insert(0, "the status is one of 2xx".to_owned());
    }
    words::list(&all)
}

/// The header field of the key; none if there is to be none.
fn key_header(with: &Map<String, Value>) -> Option<String> {
    let name = given::text(with, "key_header").unwrap_or_else(|| KEY_HEADER.to_owned());
    (name != "none" && !reads(with)).then_some(name)
}

/// What is sent, with its type.
fn body(with: &Map<String, Value>) -> Option<(&'static str, &Value)> {
    let of = |name: &str| with.get(name).filter(|v| !v.is_null());
    of("json").map(|json| ("application/json", json)).or_else(|| of("body").map(|text| ("text/plain; charset=utf-8", text)))
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let given = |name: &str| given::record(call.with, "headers").is_some_and(|h| h.keys().any(|k| k.eq_ignore_ascii_case(name)));
    let mut headers = http::typed_headers(call.with);
    let body = body(call.with);
    if let Some((kind, _)) = body.filter(|_| !given("content-type")) {
        headers.push(http::typed_header("Content-Type", &Value::String(kind.to_owned())));
    }
    let key = key_header(call.with).filter(|name| !given(name));
    let variable = shell::variable(&format!("steps.{}.key", call.step));
    let mut script = String::new();
    if let Some(name) = &key {
        headers.push(format!("{}\"${variable}\"", shell::literal(&format!("{name}: "))));
        script = format!(": \"${{{variable}:={}-$(date -u +%Y%m%dT%H%M%SZ)}}\"\n", variable.to_ascii_lowercase());
    }
    let typed = Typed {
        url: call.shown("url"),
        method: match method(call.with).as_str() {
            plain @ ("GET" | "HEAD") => plain.to_owned(),
            other => shell::word(&Value::String(other.to_owned())),
        },
        headers,
        body: body.map(|(kind, value)| if kind == "application/json" { shell::json(value) } else { shell::word(value) }),
        limit_s: http::limit_s(call, TIMEOUT_MS),
    };
    script.push_str(&typed.judged(expected(call.with), http::good_status()));
    let again = if key.is_some() { format!("; sent again from the same shell it keeps its key, `${variable}`") } else { String::new() };
    vec![Manual {
        what: "Send the request".to_owned(),
        script,
        changes: !reads(call.with),
        expect: format!("{} (the last line is the status){again}", wanted(call)),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = http::check(call);
    let has = |name: &str| call.with.get(name).is_some_and(|v| !v.is_null());
    if has("body") && has("json") {
        out.push(("body", "`body` and `json` both say what is sent".to_owned(), "leave out one of them".to_owned()));
    }
    if let Some(name) = ["body", "json"].into_iter().find(|name| has(name) && reads(call.with)) {
        let method = method(call.with);
        out.push((name, format!("{method} sends nothing"), format!("leave `{name}` out, or write another `method`")));
    }
    if let Some(name) = key_header(call.with).filter(|name| !http::header_name(name)) {
        out.push(("key_header", format!("{} is not the name of a header field", words::code(&name)), format!("key_header: {KEY_HEADER}")));
    }
    out
}

fn request(ctx: &Ctx<'_>) -> Answer<Request> {
    let mut request = http::request(ctx, &method(ctx.with), TIMEOUT_MS)?;
    if let Some((kind, value)) = body(ctx.with) {
        http::unless_given(&mut request, "Content-Type", kind);
        request.body = Some(if kind == "application/json" { value.to_string() } else { template::plain(value) });
    }
    if let Some(name) = key_header(ctx.with) {
        http::unless_given(&mut request, &name, ctx.key);
    }
    Ok(request)
}

async fn preview(ctx: &Ctx<'_>) -> Answer<Vec<Change>> {
    let request = request(ctx)?;
    Ok(vec![Change { what: "request".to_owned(), old: "not sent".to_owned(), new: format!("{} {}", request.method, request.url) }])
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let answered = http::exchange(ctx, &request(ctx)?).await?;
    judge(expected(ctx.with), &answered)?;
    Ok(answered.outputs(ctx))
}

/// An answer that says no is a no. One that speaks of a fault at the other side, or cannot be read to its end, says
/// nothing about what was done there.
fn judge(expect: Option<&Map<String, Value>>, answered: &Answered) -> Answer<()> {
    let status = answered.response.status;
    let named = expect.is_some_and(|e| e.contains_key("status"));
    let said = answered.judge(expect);
    let good = named || (200..300).contains(&status);
    match said {
        Ok(()) if good => Ok(()),
        _ if status >= 500 => Err(Fault::lost(format!("it answered with status {status}, after the request was sent"))),
        Err(why) if answered.response.truncated && (200..300).contains(&status) => Err(Fault::lost(why)),
        Err(why) if good => Err(Fault::refused(why)),
        _ if (300..400).contains(&status) => {
            Err(Fault::refused(format!("it answered with status {status}: it points elsewhere, and no redirect is followed")))
        }
        _ => Err(Fault::refused(format!("it answered with status {status}"))),
    }
}
