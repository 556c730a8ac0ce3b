//! `route53.upsert`: makes a record what the plan says, in one batch that fails if anybody changed it meanwhile. It does
//! not know what resolvers still remember.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Deed, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, aws, given, route53,
    shell, template, units, words,
};
use crate::world::{Answer, DnsChange, Fault, RecordSet};

pub(super) static ACTION: Action = Action {
    name: "route53.upsert",
    page: include_str!("route53_upsert.md"),
    fields: &[
        Field::optional("value", Type::Text, "the record's value; this or `values`"),
        Field::optional("values", Type::List(&Type::Text), "its values; this or `value`"),
        Field::default("wait", Type::Word(&["insync", "none"]), "insync", "whether the step ends when every server of the zone answers so"),
    ],
    outputs: &[
        Output::new("old", Type::Text, "what it was"),
        Output::new("new", Type::Text, "what it is"),
        Output::new("change", Type::Text, "id of the change; absent if there was nothing to change"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Route53],
    deed: Deed::Points,
    undo: UndoKind::Auto,
    settles_ms: 60_000,
    feature: Some("aws"),
    sentence: |call| format!("Point {} to {}", route53::record_words(call), values_words(call)),
    seen: |call| format!("{} is {}", route53::record_words(call), values_words(call)),
    commands: |call| {
        vec![Manual {
            what: format!("Change {} to {}", route53::record_words(call), values_words(call)),
            script: script(call),
            changes: true,
            expect: format!("the record as it was, then `INSYNC`; `{}` keeps it for the way back", kept(call)),
        }]
    },
    undo_commands: |call| {
        vec![Manual {
            what: format!("Put {} back as it was", route53::record_words(call)),
            script: undo_script(call),
            changes: true,
            expect: format!(
                "`INSYNC`. It is only done while the record is {}: anything else is somebody's newer change",
                values_words(call)
            ),
        }]
    },
    check: |call| match (call.with.contains_key("value"), given::list(call.with, "values").is_empty()) {
        (false, true) => vec![("value", "nothing says what the record is to be".to_owned(), "value: lb.example.com".to_owned())],
        (true, false) => vec![("values", "`value` and `values` both say it".to_owned(), "leave out one of them".to_owned())],
        _ => vec![],
    },
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
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

/// The file in which the block by hand keeps the record as it was.
fn kept(call: &Call<'_>) -> String {
    format!("{}.before.json", call.step)
}

fn ttl_word(call: &Call<'_>) -> String {
    let ttl = call.field("ttl").cloned().unwrap_or(json!("60s"));
    match units::duration_ms(&template::plain(&ttl)) {
        Ok(ms) => (ms / 1000).to_string(),
        // Typed as `60s`; Route 53 takes the number.
        Err(_) => match template::references(&ttl).first() {
            Some(path) => format!("\"${{{}%s}}\"", shell::variable(path)),
            None => shell::word(&ttl),
        },
    }
}

fn new_json(call: &Call<'_>) -> String {
    let values: Vec<String> =
        values(call.with).iter().map(|v| format!("'{{\"Value\":\"'{}'\"}}'", shell::inside_json(&template::plain(v)))).collect();
    format!(
        "'{{\"Name\":\"'\"$RECORD\"'\",\"Type\":\"'\"$TYPE\"'\",\"TTL\":'{}',\"ResourceRecords\":['{}']}}'",
        ttl_word(call),
        values.join("','")
    )
}

/// The values as `aws --output text` prints them.
fn values_word(call: &Call<'_>) -> String {
    let words: Vec<String> = values(call.with).iter().map(template::plain).collect();
    shell::word(&Value::String(words.join("\t")))
}

fn change_lines(call: &Call<'_>, changes: &str) -> String {
    let zone = shell::word(&call.shown("zone"));
    format!(
        "CHANGE=$({} --hosted-zone-id {zone} --query ChangeInfo.Id --output text \\\n  --change-batch \"{{\\\"Changes\\\":[{changes}]}}\") &&\n\
         until [ \"$({} --id \"$CHANGE\" --query ChangeInfo.Status --output text | tee /dev/stderr)\" = INSYNC ]; do sleep 2; done",
        aws::command(call, "route53 change-resource-record-sets"),
        aws::command(call, "route53 get-change"),
    )
}

fn script(call: &Call<'_>) -> String {
    let kept = shell::literal(&kept(call));
    format!(
        "{}\n\
         if [ \"$({})\" = {} ]; then echo 'it is so already'; else\n\
         OLD=$(record '' json) && printf '%s\\n' \"$OLD\" | tee {kept} &&\n\
         NEW={} &&\n\
         if [ \"$OLD\" = null ]; then DELETE=; else DELETE=\"{{\\\"Action\\\":\\\"DELETE\\\",\\\"ResourceRecordSet\\\":$OLD}},\"; fi &&\n\
         {}\nfi",
        route53::read_function(call),
        route53::READ_VALUES,
        values_word(call),
        new_json(call),
        change_lines(call, "$DELETE{\\\"Action\\\":\\\"CREATE\\\",\\\"ResourceRecordSet\\\":$NEW}"),
    )
}

fn undo_script(call: &Call<'_>) -> String {
    let kept = shell::literal(&kept(call));
    format!(
        "{}\n\
         if [ \"$({})\" != {} ]; then echo 'somebody changed it: leave it, and ask them' >&2; false; else\n\
         NOW=$(record '' json) && OLD=$(cat {kept}) &&\n\
         if [ \"$OLD\" = null ]; then CREATE=; else CREATE=\",{{\\\"Action\\\":\\\"CREATE\\\",\\\"ResourceRecordSet\\\":$OLD}}\"; fi &&\n\
         {}\nfi",
        route53::read_function(call),
        route53::READ_VALUES,
        values_word(call),
        change_lines(call, "{\\\"Action\\\":\\\"DELETE\\\",\\\"ResourceRecordSet\\\":$NOW}$CREATE"),
    )
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    Ok(json!({ "record": route53::read(ctx).await? }))
}

fn was(before: &Before) -> Answer<Option<RecordSet>> {
    let record = before.get("record").ok_or_else(|| Fault::refused("the state before does not hold the record"))?;
    Option::<RecordSet>::deserialize(record).map_err(|_| Fault::refused("the state before does not hold a record"))
}

/// The record as the plan wants it.
fn desired(ctx: &Ctx<'_>) -> Answer<RecordSet> {
    let place = route53::place(ctx)?;
    let values = values(ctx.with).iter().map(template::plain).collect();
    Ok(RecordSet { name: place.name, kind: place.kind, ttl_s: route53::ttl_s(ctx)?, values })
}

/// The same record, its values in any order and names in any case.
fn same(a: Option<&RecordSet>, b: Option<&RecordSet>) -> bool {
    let sorted = |r: &RecordSet| {
        let mut values = r.values.clone();
        values.sort();
        (r.name.trim_end_matches('.').to_ascii_lowercase(), r.kind.clone(), r.ttl_s, values)
    };
    a.map(sorted) == b.map(sorted)
}

fn shown(record: Option<&RecordSet>) -> String {
    record.map_or_else(|| "none".to_owned(), |r| format!("{} (ttl {}s)", r.values.join(", "), r.ttl_s))
}

fn outputs(old: Option<&RecordSet>, new: &RecordSet, change: Option<String>) -> Outputs {
    let mut out = Outputs::new();
    out.insert("old".to_owned(), json!(shown(old)));
    out.insert("new".to_owned(), json!(shown(Some(new))));
    out.extend(change.map(|id| ("change".to_owned(), json!(id))));
    out
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (now, old, new) = (route53::read(ctx).await?, was(before)?, desired(ctx)?);
    Ok(if same(now.as_ref(), Some(&new)) {
        Probe::There(outputs(old.as_ref(), &new, None))
    } else if same(now.as_ref(), old.as_ref()) {
        Probe::NotThere
    } else {
        Probe::Other(foreign(now.as_ref(), old.as_ref()))
    })
}

fn foreign(now: Option<&RecordSet>, old: Option<&RecordSet>) -> String {
    format!(
        "the record is {}, neither what this step sets nor what was there before ({})",
        words::code(&shown(now)),
        words::code(&shown(old))
    )
}

async fn preview(ctx: &Ctx<'_>, _: &Before) -> Answer<Vec<Change>> {
    let (now, new) = (route53::read(ctx).await?, desired(ctx)?);
    if same(now.as_ref(), Some(&new)) {
        return Ok(Vec::new());
    }
    Ok(vec![Change { what: format!("{} {}", new.kind, new.name), old: shown(now.as_ref()), new: shown(Some(&new)) }])
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let (now, old, new) = (route53::read(ctx).await?, was(before)?, desired(ctx)?);
    if same(now.as_ref(), Some(&new)) {
        return Ok(outputs(old.as_ref(), &new, None));
    }
    if !same(now.as_ref(), old.as_ref()) {
        return Err(Fault::refused(foreign(now.as_ref(), old.as_ref())));
    }
    // The record as it was read just now: if anybody changes it in between, the whole batch is refused.
    let changes: Vec<DnsChange> = now.map(DnsChange::Delete).into_iter().chain([DnsChange::Create(new.clone())]).collect();
    let change = route53::send(ctx, &changes).await?;
    if given::text(ctx.with, "wait").as_deref() != Some("none") {
        route53::in_sync(ctx, &change).await?;
    }
    Ok(outputs(old.as_ref(), &new, Some(change)))
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (now, old, new) = (route53::read(ctx).await?, was(before)?, desired(ctx)?);
    if same(now.as_ref(), old.as_ref()) {
        return Ok(Probe::NotThere);
    }
    let Some(ours) = now.clone().filter(|now| same(Some(now), Some(&new))) else {
        return Ok(Probe::Other(foreign(now.as_ref(), old.as_ref())));
    };
    let changes: Vec<DnsChange> = [DnsChange::Delete(ours)].into_iter().chain(old.map(DnsChange::Create)).collect();
    let change = route53::send(ctx, &changes).await?;
    route53::in_sync(ctx, &change).await?;
    Ok(Probe::NotThere)
}
