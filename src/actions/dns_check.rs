//! `dns.check`: what resolvers answer for a record, and for how long an old answer may still live. It changes nothing.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::dns::{ask, functions, record_words};
use super::matcher::judge;
use super::{Action, AssetKind, Call, Ctx, Field, Manual, Output, Outputs, Type, given, shell, template, words};
use crate::world::{Answer, Fault, NameAnswer, NameServer};

pub(super) static ACTION: Action = Action {
    name: "dns.check",
    page: include_str!("dns_check.md"),
    fields: &[
        Field::optional(
            "resolvers",
            Type::List(&Type::Text),
            "who is asked, each as host or host:port; else the `server` of the asset's `connect`",
        ),
        Field::optional("expect", Type::Matcher, "the value that each must answer; of several a list, sorted"),
    ],
    outputs: &[
        Output::new("found", Type::Bool, "whether there is such a record"),
        Output::new("value", Type::Any, "its value; of several a list, sorted"),
        Output::new("ttl", Type::Duration, "for how long somebody may still believe what was answered: the longest of all"),
    ],
    kinds: &[AssetKind::Dns, AssetKind::Route53],
    sentence: |call| format!("Ask {} for {} and see that {}", asked(call), record_words(call), wanted(call)),
    seen: wanted,
    commands,
    check,
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn resolvers(call: &Call<'_>) -> Vec<Value> {
    match given::list(call.with, "resolvers") {
        [] => vec![call.shown("server")],
        some => some.to_vec(),
    }
}

fn asked(call: &Call<'_>) -> String {
    words::list(&resolvers(call).iter().map(words::value).collect::<Vec<_>>())
}

fn wanted(call: &Call<'_>) -> String {
    let all = if resolvers(call).len() == 1 { "it answers" } else { "all of them answer, and the same" };
    match call.with.get("expect") {
        Some(matcher) => format!("{all}, and the value {}", words::matcher(matcher)),
        None => all.to_owned(),
    }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let servers: String = resolvers(call).iter().map(|r| format!(" {}", shell::word(r))).collect();
    let test = match call.with.get("expect").filter(|m| !m.is_object() && !m.is_array()) {
        Some(matcher) => format!(
            " &&\n  [ \"$(ask \"$S\" +short | sed 's/\\.$//' | sort)\" = {} ] || {{ echo \"$S: another\" >&2; GOOD=false; }}",
            shell::word(matcher)
        ),
        None => " || GOOD=false".to_owned(),
    };
    vec![Manual {
        what: format!("Ask for {}", record_words(call)),
        script: format!("{}\nGOOD=true\nfor S in{servers}; do\n  ask \"$S\" +noall +answer +comments{test}\ndone\n$GOOD", functions(call)),
        changes: false,
        expect: format!("{}; the number after a name is for how many seconds that answer may still be believed", wanted(call)),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let nobody = given::list(call.with, "resolvers").is_empty() && call.target.is_some_and(|t| !t.connect.contains_key("server"));
    if nobody { vec![("resolvers", "nothing says who is asked".to_owned(), "resolvers: [1.1.1.1, 8.8.8.8]".to_owned())] } else { vec![] }
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let servers: Vec<NameServer> = match given::list(ctx.with, "resolvers") {
        [] => vec![NameServer { at: given::need(&ctx.asset()?.connect, "server")?, ..NameServer::default() }],
        some => some.iter().map(|r| NameServer { at: template::plain(r), ..NameServer::default() }).collect(),
    };
    let answers = join_all(servers.iter().map(|server| ask(ctx, server))).await;
    let mut found: Vec<(&str, NameAnswer)> = Vec::new();
    for (server, answer) in servers.iter().zip(answers) {
        // One that does not answer is a failure: what its clients see, nobody knows.
        found.push((&server.at, answer?));
    }
    let value = |answer: &NameAnswer| match answer.values.as_slice() {
        [] => None,
        [one] => Some(json!(one)),
        more => Some(json!(more)),
    };
    let live = |answer: &NameAnswer| answer.ttl_s.map(|s| format!(", which its clients may believe for {s} s more")).unwrap_or_default();
    for (at, answer) in &found {
        if let Some(matcher) = ctx.with.get("expect").filter(|m| !m.is_null()) {
            let what = format!("what {} answers", words::code(at));
            judge(&what, matcher, value(answer).as_ref()).map_err(|why| Fault::refused(format!("{why}{}", live(answer))))?;
        }
    }
    let (first_at, first) = found.first().ok_or_else(|| Fault::refused("nobody was asked"))?;
    if let Some((at, other)) = found.iter().find(|(_, answer)| answer.values != first.values) {
        let said =
            |answer: &NameAnswer| if answer.values.is_empty() { "nothing".to_owned() } else { words::code(&answer.values.join(", ")) };
        return Err(Fault::refused(format!(
            "they do not agree: {} answers {}{}, and {} answers {}{}",
            words::code(first_at),
            said(first),
            live(first),
            words::code(at),
            said(other),
            live(other)
        )));
    }
    let mut out = Outputs::new();
    out.insert("found".to_owned(), json!(!first.values.is_empty()));
    out.extend(value(first).map(|v| ("value".to_owned(), v)));
    let ttl = found.iter().filter_map(|(_, answer)| answer.ttl_s).max();
    out.extend(ttl.map(|s| ("ttl".to_owned(), json!(format!("{s}s")))));
    Ok(out)
}
