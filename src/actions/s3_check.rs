//! `s3.check`: the newest object under a prefix, and what protects it. It does not read the object.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::matcher::judge_all;
use super::{Action, Call, Ctx, Field, Manual, Output, Outputs, Type, aws, given, shell, template, units, words};
use crate::world::{Answer, Fault};

const EXPECT: &[Field] = &[
    Field::optional("found", Type::Matcher, "whether there is one; without it one must be there"),
    Field::optional("age", Type::Matcher, "its age, as `26h`"),
    Field::optional("size", Type::Matcher, "its size, as `1GiB`"),
    Field::optional("encryption", Type::Matcher, "its server-side encryption: `aws:kms`, `AES256`"),
    Field::optional("retention", Type::Matcher, "how long it still cannot be deleted, as `30d`"),
    Field::optional("retention_mode", Type::Matcher, "`GOVERNANCE` or `COMPLIANCE`"),
    Field::optional("checksum", Type::Matcher, "its checksum, as `algorithm:value`"),
];

pub(super) static ACTION: Action = Action {
    name: "s3.check",
    page: include_str!("s3_check.md"),
    fields: &[
        Field::optional("bucket", Type::Text, "the bucket; else of the asset's `connect`"),
        Field::optional("prefix", Type::Text, "only keys that begin with it; else of the asset's `connect`"),
        Field::optional("matches", Type::Pattern, "only keys that match it"),
        Field::optional("before", Type::Time, "only objects that were written not later than this time"),
        Field::optional("expect", Type::Record(EXPECT), "what the newest of them must be"),
        Field::optional("region", Type::Text, "AWS region; else of the asset's `connect`, else from the usual chain"),
        Field::optional("profile", Type::Text, "AWS profile; else of the asset's `connect`, else from the usual chain"),
        Field::optional("endpoint", Type::Url, "another address than AWS's own; else of the asset's `connect`"),
    ],
    outputs: &[
        Output::new("found", Type::Bool, "whether there is one"),
        Output::new("key", Type::Text, "its key"),
        Output::new("time", Type::Time, "when it was written"),
        Output::new("age", Type::Duration, "how long ago that is"),
        Output::new("size", Type::Int, "its size in bytes"),
        Output::new("encryption", Type::Text, "its server-side encryption"),
        Output::new("retention", Type::Duration, "how long it still cannot be deleted"),
        Output::new("retention_mode", Type::Text, "`GOVERNANCE` or `COMPLIANCE`"),
        Output::new("checksum", Type::Text, "its checksum, as `algorithm:value`; absent if the store keeps none"),
    ],
    feature: Some("aws"),
    sentence: |call| format!("Look at the newest object under {} and see that {}", place(call), wanted(call)),
    seen: wanted,
    commands,
    check: |call| {
        let mut out = Vec::new();
        if call.field("bucket").is_none() {
            out.push(("bucket", "nothing says which bucket".to_owned(), "bucket: my-backups".to_owned()));
        }
        out
    },
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn place(call: &Call<'_>) -> String {
    let prefix = call.field("prefix").map(template::plain).unwrap_or_default();
    words::code(&format!("s3://{}/{prefix}", template::plain(&call.shown("bucket"))))
}

fn wanted(call: &Call<'_>) -> String {
    let expect = given::record(call.with, "expect");
    let all: Vec<String> = expect.into_iter().flatten().map(|(name, m)| format!("its {name} {}", words::matcher(m))).collect();
    let before = call.with.get("before").map(|t| format!(", written not later than {}", words::value(t))).unwrap_or_default();
    if all.is_empty() { format!("there is one{before}") } else { format!("{}{before}", words::list(&all)) }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let bucket = shell::word(&call.shown("bucket"));
    let prefix = call.field("prefix").map(|p| format!(" --prefix {}", shell::word(p))).unwrap_or_default();
    let variable = |name: &str| shell::variable(&format!("steps.{}.{name}", call.step));
    let (key, time, size) = (variable("key"), variable("time"), variable("size"));
    // Times of one zone in one form: the order of letters is that of time.
    let filter = call.with.get("before").map(|t| format!("?LastModified<='{}'", template::plain(t))).unwrap_or_default();
    let pick = format!("sort_by(Contents[{filter}] || `[]`, &LastModified)[-1].[Key,LastModified,Size]");
    let mut list = format!(
        "FOUND=$({} --bucket {bucket}{prefix} \\\n  --query {} --output text) && printf '%s\\n' \"$FOUND\" &&\n",
        aws::command(call, "s3api list-objects-v2"),
        shell::word(&Value::String(pick)),
    );
    for (i, name) in [&key, &time, &size].into_iter().enumerate() {
        list.push_str(&format!("{name}=$(printf '%s\\n' \"$FOUND\" | cut -f {}) && ", i + 1));
    }
    list.push_str(&format!("\n[ \"${key}\" != None ]"));
    let matches = call.with.get("matches").map(|re| format!("; its key must match {}, else look further back", words::value(re)));
    let mut out = vec![Manual {
        what: "Find the newest object".to_owned(),
        script: list,
        changes: false,
        expect: format!("its key, time and size, so that {}{}", wanted(call), matches.unwrap_or_default()),
    }];
    let deep = ["encryption", "retention", "retention_mode", "checksum"];
    if given::record(call.with, "expect").is_some_and(|e| deep.iter().any(|name| e.contains_key(*name))) {
        out.push(Manual {
            what: "Look at what protects it".to_owned(),
            script: format!(
                "{} --bucket {bucket} --key \"${key}\" --checksum-mode ENABLED --output json",
                aws::command(call, "s3api head-object")
            ),
            changes: false,
            expect: format!("{} (`ServerSideEncryption`, `ObjectLockRetainUntilDate`, `ObjectLockMode`, `Checksum…`)", wanted(call)),
        });
    }
    out
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let of = |name: &str| given::text(ctx.with, name).or_else(|| ctx.target.and_then(|t| given::text(&t.connect, name)));
    let bucket = of("bucket").ok_or_else(|| Fault::refused("`bucket` is not given"))?;
    let prefix = of("prefix").unwrap_or_default();
    let settings = aws::settings(ctx);
    let before = given::text(ctx.with, "before")
        .map(|t| units::time(&t))
        .transpose()
        .map_err(|p| Fault::refused(format!("`before`: {}", p.what)))?;
    let matches = given::text(ctx.with, "matches").map(|re| regex::Regex::new(&re)).transpose();
    let matches = matches.map_err(|_| Fault::refused("`matches` is not a regular expression"))?;
    let objects = ctx.world.objects.list(&settings, &bucket, &prefix).await?;
    let fits = |key: &str, at: Timestamp| before.is_none_or(|t| at <= t) && matches.as_ref().is_none_or(|re| re.is_match(key));
    // Of two of the same moment the one with the greater key: names that hold a time grow.
    let newest = objects.into_iter().filter(|o| fits(&o.key, o.modified)).max_by(|a, b| (a.modified, &a.key).cmp(&(b.modified, &b.key)));
    let mut out = Outputs::new();
    out.insert("found".to_owned(), json!(newest.is_some()));
    if let Some(object) = &newest {
        let facts = ctx.world.objects.facts(&settings, &bucket, &object.key).await?;
        let facts = facts.ok_or_else(|| Fault::refused(format!("{} was listed, but is not there", words::code(&object.key))))?;
        let now = ctx.world.clock.now();
        let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
        put("key", json!(object.key));
        put("time", json!(object.modified.to_string()));
        put("age", json!(units::duration_text(ms_between(object.modified, now))));
        put("size", json!(object.size));
        facts.encryption.map(|e| put("encryption", json!(e)));
        facts.checksum.map(|c| put("checksum", json!(c)));
        if let Some((mode, until)) = facts.retention {
            put("retention", json!(units::duration_text(ms_between(now, until))));
            put("retention_mode", json!(mode));
        }
    }
    judged(ctx, &out).map_err(|why| {
        let which = out.get("key").map_or_else(|| "nothing was found".to_owned(), |key| format!("the newest is {}", words::value(key)));
        Fault::refused(format!("{why}; {which} under {}", words::code(&format!("s3://{bucket}/{prefix}"))))
    })?;
    Ok(out)
}

/// What is wanted of the newest object. An object must be there if anything is wanted of it.
fn judged(ctx: &Ctx<'_>, found: &Outputs) -> Result<(), String> {
    let Some(expect) = given::record(ctx.with, "expect") else { return Ok(()) };
    let mut expect: Map<String, Value> = expect.clone();
    if !expect.contains_key("found") && !expect.is_empty() {
        expect.insert("found".to_owned(), json!(true));
    }
    judge_all("", &expect, &Value::Object(found.clone()))
}

fn ms_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}
