//! `http.check`: asks an address and looks at the answer.

use serde_json::{Map, Value, json};

use super::http::{self, Typed};
use super::{Action, Call, Ctx, Field, Manual, Output, Outputs, Type, given, matcher, words};
use crate::world::{Answer, Fault};

const TIMEOUT_MS: u64 = 10_000;

const EXPECT: &[Field] = &[
    http::STATUS,
    http::HEADERS,
    http::JSON,
    http::BODY,
    Field::optional(
        "reachable",
        Type::Matcher,
        "false: no answer is the answer that is wanted; `{ one_of: [true, false] }`: both are good",
    ),
];

pub(super) static ACTION: Action = Action {
    name: "http.check",
    page: include_str!("http_check.md"),
    fields: &[
        Field::optional("url", Type::Url, "the address; else `url` of the asset's `connect`"),
        Field::default("method", Type::Word(&["GET", "HEAD"]), "GET", "how to ask"),
        http::SENT_HEADERS,
        Field::optional("expect", Type::Record(EXPECT), "what the answer must be; without it any answer passes"),
        Field::default("timeout", Type::Duration, "10s", "limit of one exchange"),
    ],
    outputs: &[Output::new("reachable", Type::Bool, "whether there was an answer"), http::STATUS_FOUND, http::MS_FOUND, http::JSON_FOUND],
    sentence,
    seen: wanted,
    commands,
    check,
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn expected<'a>(call: &Call<'a>) -> Option<&'a Map<String, Value>> {
    given::record(call.with, "expect")
}

/// What silence is to a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// A failure.
    Fails,
    /// As good as an answer.
    Passes,
    /// What is wanted; an answer is a failure.
    Wanted,
}

fn silence(expect: Option<&Map<String, Value>>) -> Silence {
    let Some(reachable) = expect.and_then(|e| e.get("reachable")) else { return Silence::Fails };
    let good = |found: bool| matcher::fits(reachable, Some(&json!(found)));
    match (good(true), good(false)) {
        (true, true) => Silence::Passes,
        (false, true) => Silence::Wanted,
        (_, false) => Silence::Fails,
    }
}

fn sentence(call: &Call<'_>) -> String {
    let url = words::value(&call.shown("url"));
    match silence(expected(call)) {
        Silence::Passes => format!("Ask {url} and see whether it answers"),
        _ => format!("Ask {url} and see that {}", wanted(call)),
    }
}

fn wanted(call: &Call<'_>) -> String {
    let expect = expected(call);
    match silence(expect) {
        Silence::Wanted => return "nothing answers".to_owned(),
        Silence::Passes => return "there is an answer, or none".to_owned(),
        Silence::Fails => {}
    }
    let all = expect.map(http::wanted).unwrap_or_default();
    if all.is_empty() { "it answers".to_owned() } else { words::list(&all) }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let expect = expected(call);
    let method = if call.known("method").is_some_and(|m| m == "HEAD") { "HEAD" } else { "GET" };
    let typed = Typed {
        url: call.shown("url"),
        method: method.to_owned(),
        headers: http::typed_headers(call.with),
        body: None,
        limit_s: http::limit_s(call, TIMEOUT_MS),
    };
    let script = match silence(expect) {
        Silence::Wanted => format!("! {}", typed.line(" -o /dev/null")),
        Silence::Passes => format!("{} || echo 'no answer'", typed.line(" -w '\\n%{http_code}\\n'")),
        Silence::Fails => typed.judged(expect, http::any_answer()),
    };
    vec![Manual {
        what: "Ask the address".to_owned(),
        script,
        changes: false,
        expect: format!("{} (the last line is the status)", wanted(call)),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = http::check(call);
    let silent = silence(expected(call)) != Silence::Fails;
    if silent && expected(call).is_some_and(|e| e.len() > 1) {
        out.push(("expect", "no answer cannot have a status or a body".to_owned(), "expect: { reachable: false }".to_owned()));
    }
    out
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let method = given::text(ctx.with, "method").unwrap_or_else(|| "GET".to_owned());
    let request = http::request(ctx, &method, TIMEOUT_MS)?;
    let expect = given::record(ctx.with, "expect");
    let silent = || Ok(Outputs::from_iter([("reachable".to_owned(), json!(false))]));
    let mut out = match (http::exchange(ctx, &request).await, silence(expect)) {
        (Ok(answered), Silence::Wanted) => {
            return Err(Fault::refused(format!("wanted: nothing answers; found status {}", answered.response.status)));
        }
        (Ok(answered), _) => {
            answered.judge(expect).map_err(Fault::refused)?;
            answered.outputs(ctx)
        }
        (Err(_), Silence::Wanted) => return silent(),
        // An answer that cannot be read is none of the two.
        (Err(fault), Silence::Passes) if fault.unreachable => return silent(),
        (Err(fault), _) => return Err(fault),
    };
    out.insert("reachable".to_owned(), json!(true));
    Ok(out)
}
