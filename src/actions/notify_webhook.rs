//! `notify.webhook`: posts a message to people's channel. Whoever hears it twice is told no more than once.

use serde_json::{Map, Value, json};

use super::http::{self, Typed};
use super::notify::{self, Post};
use super::{Action, Call, Change, Ctx, Effect, Field, Manual, Output, Outputs, Probe, Type, given, shell, template, words};
use crate::world::Answer;

/// The limit of an attempt that a plan does not give.
pub(super) const TIMEOUT_MS: u64 = 30_000;

const SIGNATURE_HEADER: &str = "X-Signature-256";

pub(super) static ACTION: Action = Action {
    name: "notify.webhook",
    page: include_str!("notify_webhook.md"),
    fields: &[
        Field::required("url", Type::Secret, "the address (http or https) to which JSON is posted"),
        Field::optional("text", Type::Text, "what people read; sent as `{\"text\": …}`; this or `json`"),
        Field::optional("json", Type::AnySecret, "the whole JSON that is posted; this or `text`"),
        http::SENT_HEADERS,
        Field::optional("signature_key", Type::Secret, "signs the body: HMAC-SHA256, sent as `sha256=` and hexadecimal digits"),
        Field::default("signature_header", Type::Text, SIGNATURE_HEADER, "the header field of the signature"),
    ],
    outputs: &[Output::new("status", Type::Int, "status code")],
    effect: Effect::Idempotent,
    timeout_ms: Some(TIMEOUT_MS),
    goes_on: true,
    // What people hear late does no harm: nothing waits for it.
    settles_ms: 0,
    sentence: |call| match call.with.get("text").filter(|t| !t.is_null()) {
        Some(text) => format!("Tell {}: {}", channel(call.with), words::value(text)),
        None => format!("Tell {}", channel(call.with)),
    },
    seen: |_| "the message is in the channel".to_owned(),
    commands,
    check,
    probe: |_, _| Box::pin(async { Ok(Probe::CannotTell("what people were told, only they know".to_owned())) }),
    preview: |ctx, _| Box::pin(async { Ok(preview(ctx)) }),
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

/// Where it goes, without what may be secret in an address.
fn channel(with: &Map<String, Value>) -> String {
    let url = given::text(with, "url").unwrap_or_default();
    match template::marked(&url) {
        true => words::code(&url),
        false => format!("the webhook at {}", words::code(host(&url))),
    }
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    host.rsplit('@').next().unwrap_or_default()
}

/// What is posted, as the plan has it.
fn message(with: &Map<String, Value>) -> Value {
    match with.get("json").filter(|v| !v.is_null()) {
        Some(json) => json.clone(),
        None => json!({ "text": given::text(with, "text").unwrap_or_default() }),
    }
}

fn signature_header(with: &Map<String, Value>) -> String {
    given::text(with, "signature_header").unwrap_or_else(|| SIGNATURE_HEADER.to_owned())
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let mut headers = http::typed_headers(call.with);
    headers.push(http::typed_header("Content-Type", &json!("application/json")));
    let mut script = format!("BODY={}\n", shell::json(&message(call.with)));
    if let Some(key) = call.with.get("signature_key").filter(|v| !v.is_null()) {
        let sign = "import hashlib, hmac, os, sys; \
                    print(\"sha256=\" + hmac.new(os.environb[b\"KEY\"], sys.stdin.buffer.read(), hashlib.sha256).hexdigest())";
        script.push_str(&format!("SIGNATURE=$(printf '%s' \"$BODY\" | KEY={} python3 -c '{sign}')\n", shell::word(key)));
        let name = shell::literal(&format!("{}: ", signature_header(call.with)));
        headers.push(format!("{name}\"$SIGNATURE\""));
    }
    let typed = Typed {
        url: call.shown("url"),
        method: "POST".to_owned(),
        headers,
        body: Some("\"$BODY\"".to_owned()),
        limit_s: TIMEOUT_MS / 1000,
    };
    script.push_str(&typed.judged(None, http::good_status()));
    vec![Manual {
        what: "Post the message".to_owned(),
        script,
        changes: true,
        expect: "a status of 2xx on the last line, and the message in the channel".to_owned(),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = http::check(call);
    let has = |name: &str| call.with.get(name).is_some_and(|v| !v.is_null());
    match (has("text"), has("json")) {
        (false, false) => out.push(("text", "nothing says what people are told".to_owned(), "text: shop runs in Frankfurt".to_owned())),
        (true, true) => out.push(("text", "`text` and `json` both say what is posted".to_owned(), "leave out one of them".to_owned())),
        _ => {}
    }
    let name = signature_header(call.with);
    if !http::header_name(&name) {
        let what = format!("{} is not the name of a header field", words::code(&name));
        out.push(("signature_header", what, format!("signature_header: {SIGNATURE_HEADER}")));
    }
    out
}

fn preview(ctx: &Ctx<'_>) -> Vec<Change> {
    let url = given::text(ctx.with, "url").unwrap_or_default();
    let what = given::text(ctx.with, "text").unwrap_or_else(|| message(ctx.with).to_string());
    vec![Change {
        what: "message".to_owned(),
        old: "not sent".to_owned(),
        new: ctx.struck(&format!("the webhook at {}: {what}", host(&url))),
    }]
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let request = http::request(ctx, "POST", TIMEOUT_MS)?;
    let (mut headers, body) = (request.headers, message(ctx.with).to_string());
    if let Some(key) = given::text(ctx.with, "signature_key") {
        headers.push((signature_header(ctx.with), notify::signature(&key, &body)?));
    }
    let status = notify::post(ctx.world, Post { url: request.url, headers, body, timeout_ms: request.timeout_ms }).await?;
    Ok(Outputs::from_iter([("status".to_owned(), json!(status))]))
}
