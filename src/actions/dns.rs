//! What the actions on name servers share: the record that an asset names, who is asked about it, and how `dig` asks. It does
//! not know hosted zones of a provider.

use serde_json::Value;

use super::{Call, Ctx, given, shell, template, words};
use crate::world::{Answer, Fault, NameAnswer, NameKey, NameServer, RecordSet};

/// Longest time of one question.
const ASK_MS: u64 = 6_000;

/// Name and type of the step's record.
pub(super) fn record(ctx: &Ctx<'_>) -> Answer<(String, String)> {
    let connect = &ctx.asset()?.connect;
    let name = given::need(connect, "record")?.trim_end_matches('.').to_ascii_lowercase();
    Ok((name, given::text(connect, "type").unwrap_or_else(|| "CNAME".to_owned())))
}

/// The server that holds the zone, with the key for its changes.
pub(super) fn server(ctx: &Ctx<'_>) -> Answer<NameServer> {
    let connect = &ctx.asset()?.connect;
    let key = match given::text(connect, "tsig_secret").filter(|s| !s.is_empty()) {
        Some(secret) => Some(NameKey {
            name: given::need(connect, "tsig_name")?,
            algorithm: given::text(connect, "tsig_algorithm").unwrap_or_else(|| "hmac-sha256".to_owned()),
            secret,
        }),
        None => None,
    };
    Ok(NameServer { at: given::need(connect, "server")?, key, stream: true })
}

/// Asks one server for the step's record.
pub(super) async fn ask(ctx: &Ctx<'_>, server: &NameServer) -> Answer<NameAnswer> {
    let (name, kind) = record(ctx)?;
    ctx.world.names.ask(server, &name, &kind, ctx.exchange_ms(ASK_MS)).await
}

/// The record as the server of its zone has it.
pub(super) async fn read(ctx: &Ctx<'_>) -> Answer<Option<RecordSet>> {
    let server = server(ctx)?;
    let answer = ask(ctx, &server).await?;
    if !answer.authoritative {
        return Err(Fault::refused(format!(
            "{} does not hold the zone of the record itself: it only passes on what others say",
            words::code(&server.at)
        )));
    }
    let (name, kind) = record(ctx)?;
    let ttl_s = answer.ttl_s.unwrap_or(0).into();
    Ok(if answer.values.is_empty() { None } else { Some(RecordSet { name, kind, ttl_s, values: answer.values }) })
}

/// Type and name for words: `` CNAME `shop.example.com` ``.
pub(super) fn record_words(call: &Call<'_>) -> String {
    format!("{} {}", template::plain(&kind(call)), words::value(&call.shown("record")))
}

/// The type.
pub(super) fn kind(call: &Call<'_>) -> Value {
    call.field("type").cloned().unwrap_or(Value::String("CNAME".to_owned()))
}

/// Names the record and defines `at SERVER`, which cuts it into `$H` and `$P`, and `ask SERVER OPTION…`, which is `dig`.
pub(super) fn functions(call: &Call<'_>) -> String {
    format!(
        "NAME={} TYPE={}\n\
         at() {{ case $1 in\n  \\[*\\]:*) H=${{1%]:*}}; H=${{H#?}}; P=${{1##*:}} ;;\n  *:*:*) H=$1; P=53 ;;\n  *:*) H=${{1%:*}}; P=${{1##*:}} ;;\n  *) H=$1; P=53 ;;\nesac; }}\n\
         ask() {{ at \"$1\"; shift; dig +tries=2 +time=3 \"$@\" -p \"$P\" \"@$H\" -t \"$TYPE\" -q \"$NAME\"; }}",
        shell::word(&call.shown("record")),
        shell::word(&kind(call)),
    )
}
