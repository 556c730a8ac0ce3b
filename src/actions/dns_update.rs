//! `dns.update`: makes a record what the plan says, by an update (RFC 2136) that the server refuses if anybody changed the record
//! meanwhile. It does not know what resolvers still remember.

use serde::Deserialize;
use serde_json::{Value, json};

use super::dns::{functions, read, record, record_words, server};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Deed, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, route53,
    shell, template, units, words,
};
use crate::world::{Answer, Fault, RecordSet};

/// Longest time of the change.
const UPDATE_MS: u64 = 15_000;

pub(super) static ACTION: Action = Action {
    name: "dns.update",
    page: include_str!("dns_update.md"),
    fields: &[
        Field::optional("value", Type::Text, "the record's value; this or `values`"),
        Field::optional("values", Type::List(&Type::Text), "its values; this or `value`"),
    ],
    outputs: &[Output::new("old", Type::Text, "what it was"), Output::new("new", Type::Text, "what it is")],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Dns],
    deed: Deed::Points,
    undo: UndoKind::Auto,
    settles_ms: 30_000,
    takes_ms: Some(5_000),
    sentence: |call| format!("Point {} to {}", record_words(call), values_words(call)),
    seen: |call| format!("{} is {}", record_words(call), values_words(call)),
    commands,
    undo_commands,
    check: |call| match (call.with.contains_key("value"), given::list(call.with, "values").is_empty()) {
        (false, true) => vec![("value", "nothing says what the record is to be".to_owned(), "value: lb.example.com".to_owned())],
        (true, false) => vec![("values", "`value` and `values` both say it".to_owned(), "leave out one of them".to_owned())],
        _ => vec![],
    },
    before: |ctx| Box::pin(async { Ok(json!({ "record": read(ctx).await? })) }),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, _| Box::pin(preview(ctx)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

fn values(with: &serde_json::Map<String, Value>) -> Vec<Value> {
    match with.get("value").filter(|v| !v.is_null()) {
        Some(value) => vec![value.clone()],
        None => given::list(with, "values").to_vec(),
    }
}

fn values_words(call: &Call<'_>) -> String {
    words::list(&values(call.with).iter().map(words::value).collect::<Vec<_>>())
}

fn kept(call: &Call<'_>) -> String {
    shell::literal(&format!("{}.before", call.step))
}

/// `send`: `nsupdate` at the zone's server, with the key, if there is one, by standard input. No value can end its line.
fn send_function(call: &Call<'_>) -> String {
    let key = call.field("tsig_secret").map(|secret| {
        let algorithm = call.field("tsig_algorithm").cloned().unwrap_or(json!("hmac-sha256"));
        let line =
            [shell::word(&algorithm), shell::word(&call.shown("tsig_name")), shell::word(secret)].map(|w| format!("\"$(line {w})\""));
        format!("printf 'key %s:%s %s\\n' {}; ", line.join(" "))
    });
    format!(
        "line() {{ printf '%s' \"$1\" | tr -d '\\n\\r;'; }}\n\
         SERVER={} ZONE={}\n\
         send() {{ at \"$SERVER\"; {{ printf 'server %s %s\\nzone %s\\n' \"$(line \"$H\")\" \"$P\" \"$(line \"$ZONE\")\"; {}cat; echo send; }} | nsupdate; }}",
        shell::word(&call.shown("server")),
        shell::word(&call.shown("zone")),
        key.unwrap_or_default()
    )
}

/// Lines of `nsupdate`, one a value that is wanted.
fn each_value(call: &Call<'_>, order: &str, words: &str) -> String {
    let lines = values(call.with)
        .iter()
        .map(|v| format!("  printf '{order}\\n' \"$(line \"$NAME\")\" {words}\"$(line {})\"", shell::word(v)))
        .collect::<Vec<_>>();
    lines.join("\n")
}

fn ttl_word(call: &Call<'_>) -> String {
    let ttl = call.field("ttl").cloned().unwrap_or(json!("60s"));
    match units::duration_ms(&template::plain(&ttl)) {
        Ok(ms) => (ms / 1000).to_string(),
        // Typed as `60s`; the server takes the number.
        Err(_) => format!("\"$(line {} | tr -dc 0-9)\"", shell::word(&ttl)),
    }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let kept = kept(call);
    let script = format!(
        "{}\n{}\nOLD=$(ask \"$SERVER\" +norecurse +noall +answer) && printf '%s\\n' \"$OLD\" | tee {kept} &&\n{{\n  \
         if [ -z \"$OLD\" ]; then printf 'prereq nxrrset %s %s\\n' \"$(line \"$NAME\")\" \"$TYPE\"; fi\n  \
         printf '%s\\n' \"$OLD\" | while read -r N T C Y D; do [ -z \"$N\" ] || printf 'prereq yxrrset %s %s %s\\n' \"$N\" \"$Y\" \"$D\"; done\n  \
         printf 'update delete %s %s\\n' \"$(line \"$NAME\")\" \"$TYPE\"\n{}\n}} | send &&\nask \"$SERVER\" +norecurse +short",
        functions(call),
        send_function(call),
        each_value(call, "update add %s %s %s %s", &format!("{} \"$TYPE\" ", ttl_word(call))),
    );
    vec![Manual {
        what: format!("Change {} to {}", record_words(call), values_words(call)),
        script,
        changes: true,
        expect: format!("the record as it was, which {} keeps for the way back, then {}", words::code(&kept), values_words(call)),
    }]
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    let script = format!(
        "{}\n{}\n{{\n{}\n  printf 'update delete %s %s\\n' \"$(line \"$NAME\")\" \"$TYPE\"\n  \
         while read -r N T C Y D; do [ -z \"$N\" ] || printf 'update add %s %s %s %s\\n' \"$N\" \"$T\" \"$Y\" \"$D\"; done <{}\n}} | send &&\n\
         ask \"$SERVER\" +norecurse +short",
        functions(call),
        send_function(call),
        each_value(call, "prereq yxrrset %s %s %s", "\"$TYPE\" "),
        kept(call),
    );
    vec![Manual {
        what: format!("Put {} back as it was", record_words(call)),
        script,
        changes: true,
        expect: format!(
            "the record as it was. `update failed: NXRRSET`: it is not {} any more, which is somebody's newer change",
            values_words(call)
        ),
    }]
}

fn was(before: &Before) -> Answer<Option<RecordSet>> {
    let record = before.get("record").ok_or_else(|| Fault::refused("the state before does not hold the record"))?;
    Option::<RecordSet>::deserialize(record).map_err(|_| Fault::refused("the state before does not hold a record"))
}

/// The record as the plan wants it.
fn desired(ctx: &Ctx<'_>) -> Answer<RecordSet> {
    let (name, kind) = record(ctx)?;
    let named = ["CNAME", "NS", "PTR", "MX", "SRV"].contains(&kind.as_str());
    let plain = |value: &Value| {
        let text = template::plain(value);
        if named { text.trim_end_matches('.').to_ascii_lowercase() } else { text }
    };
    let mut values: Vec<String> = values(ctx.with).iter().map(plain).collect();
    if kind == "TXT" {
        // As it is read back.
        values
            .iter_mut()
            .filter(|v| !v.starts_with('"'))
            .for_each(|v| *v = format!("\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    values.sort();
    Ok(RecordSet { name, kind, ttl_s: route53::ttl_s(ctx)?, values })
}

fn shown(record: Option<&RecordSet>) -> String {
    record.map_or_else(|| "none".to_owned(), |r| format!("{} (ttl {}s)", r.values.join(", "), r.ttl_s))
}

fn outputs(old: Option<&RecordSet>, new: &RecordSet) -> Outputs {
    [("old".to_owned(), json!(shown(old))), ("new".to_owned(), json!(shown(Some(new))))].into_iter().collect()
}

fn foreign(now: Option<&RecordSet>, old: Option<&RecordSet>) -> String {
    format!(
        "the record is {}, neither what this step sets nor what was there before ({})",
        words::code(&shown(now)),
        words::code(&shown(old))
    )
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (now, old, new) = (read(ctx).await?, was(before)?, desired(ctx)?);
    Ok(if now.as_ref() == Some(&new) {
        Probe::There(outputs(old.as_ref(), &new))
    } else if now == old {
        Probe::NotThere
    } else {
        Probe::Other(foreign(now.as_ref(), old.as_ref()))
    })
}

async fn preview(ctx: &Ctx<'_>) -> Answer<Vec<Change>> {
    let (now, new) = (read(ctx).await?, desired(ctx)?);
    if now.as_ref() == Some(&new) {
        return Ok(Vec::new());
    }
    Ok(vec![Change { what: format!("{} {}", new.kind, new.name), old: shown(now.as_ref()), new: shown(Some(&new)) }])
}

/// Sends the change, and looks what came of it: a server may take an update and leave out what does not go together.
async fn set(ctx: &Ctx<'_>, old: Option<&RecordSet>, new: Option<&RecordSet>) -> Answer<()> {
    let zone = given::need(&ctx.asset()?.connect, "zone")?;
    ctx.world.names.update(&server(ctx)?, &zone, old, new, ctx.exchange_ms(UPDATE_MS)).await?;
    let now = read(ctx).await.map_err(|fault| Fault::lost(format!("the change was taken, but the record cannot be read: {fault}")))?;
    if now.as_ref() == new {
        return Ok(());
    }
    let why = "another type of record of the same name forbids it, or somebody changed it at once";
    Err(Fault::lost(format!("the server took the change, and the record is {}: {why}", words::code(&shown(now.as_ref())))))
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let (now, old, new) = (read(ctx).await?, was(before)?, desired(ctx)?);
    if now.as_ref() == Some(&new) {
        return Ok(outputs(old.as_ref(), &new));
    }
    if now != old {
        return Err(Fault::refused(foreign(now.as_ref(), old.as_ref())));
    }
    set(ctx, old.as_ref(), Some(&new)).await?;
    Ok(outputs(old.as_ref(), &new))
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (now, old, new) = (read(ctx).await?, was(before)?, desired(ctx)?);
    if now == old {
        return Ok(Probe::NotThere);
    }
    if now.as_ref() != Some(&new) {
        return Ok(Probe::Other(foreign(now.as_ref(), old.as_ref())));
    }
    set(ctx, Some(&new), old.as_ref()).await?;
    Ok(Probe::NotThere)
}
