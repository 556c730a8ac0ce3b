//! `s3.retain`: locks the objects of a prefix until a time, where they are not locked so long yet. It never shortens a lock, and
//! does not know who may lift it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::s3::{self, Place};
use super::{
    Action, Before, Call, Change, Ctx, Effect, Field, Manual, NO_UNDO, Output, Outputs, Probe, Type, UndoKind, aws, given, keep, shell,
    units, words,
};
use crate::world::{Answer, Fault, Landed, ObjectFacts, ObjectRef};

/// The weaker lock: who has the right may lift it.
const GOVERNANCE: &str = "GOVERNANCE";
/// The stronger lock: nobody may.
const COMPLIANCE: &str = "COMPLIANCE";

pub(super) static ACTION: Action = Action {
    name: "s3.retain",
    page: include_str!("s3_retain.md"),
    fields: &[
        Field::optional("bucket", Type::Text, "the bucket; else of the asset's `connect`"),
        Field::optional("prefix", Type::Text, "only keys that begin with it; else of the asset's `connect`"),
        Field::optional("matches", Type::Pattern, "only keys that match it"),
        Field::required("mode", Type::Word(&[GOVERNANCE, COMPLIANCE]), "how strong the lock is; a stronger one that is there stays"),
        Field::optional("for", Type::Duration, "how long from when the step begins, as `30d`; this or `until`"),
        Field::optional("until", Type::Time, "until when; this or `for`"),
        Field::optional("region", Type::Text, "AWS region; else of the asset's `connect`, else from the usual chain"),
        Field::optional("profile", Type::Text, "AWS profile; else of the asset's `connect`, else from the usual chain"),
        Field::optional("endpoint", Type::Url, "another address than AWS's own; else of the asset's `connect`"),
    ],
    outputs: &[
        Output::new("locked", Type::Int, "how many objects were not locked so long"),
        Output::new("objects", Type::Int, "how many there are, all of them locked now"),
        Output::new("until", Type::Time, "until when at least"),
    ],
    effect: Effect::Verifiable,
    undo: UndoKind::Impossible,
    settles_ms: 60_000,
    feature: Some("aws"),
    sentence: |call| format!("Lock every object under {} {}", words::code(&s3::shown(call)), until_words(call)),
    seen: |call| format!("every object under {} is locked {}", words::code(&s3::shown(call)), until_words(call)),
    commands,
    check,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: NO_UNDO,
    ..Action::READ
};

/// An object that lacked the lock, and the one that it had.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    key: String,
    version: Option<String>,
    had: Option<(String, Timestamp)>,
}

/// What a step locks, as it was read before its first attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Work {
    bucket: String,
    prefix: String,
    until: Timestamp,
    lacking: Vec<Item>,
}

fn until_words(call: &Call<'_>) -> String {
    let part = |name: &str, word: &str| call.with.get(name).map(|v| format!(" {word} {}", words::value(v))).unwrap_or_default();
    format!("in mode {}{}{}", words::value(&call.shown("mode")), part("for", "for"), part("until", "until"))
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = Vec::new();
    if call.field("bucket").is_none() {
        out.push(("bucket", "nothing says which bucket".to_owned(), "bucket: my-backups".to_owned()));
    }
    match (call.with.contains_key("for"), call.with.contains_key("until")) {
        (false, false) => out.push(("for", "nothing says how long".to_owned(), "for: 30d".to_owned())),
        (true, true) => out.push(("until", "`for` and `until` both say how long".to_owned(), "leave out one of them".to_owned())),
        _ => {}
    }
    out
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let seconds = call.known("for").and_then(|v| units::duration_ms(&super::template::plain(v)).ok()).map(|ms| ms.div_ceil(1000));
    let until = match (seconds, call.with.get("until").or_else(|| call.with.get("for"))) {
        (Some(s), _) => format!("\"@$(($(date +%s) + {s}))\""),
        (None, Some(text)) => shell::word(text),
        (None, None) => shell::word(&call.shown("until")),
    };
    let matches = call.with.get("matches").map(|re| format!(" | grep -P -e {}", shell::word(re))).unwrap_or_default();
    let prefix = call.field("prefix").map(|p| format!(" --prefix={}", shell::word(p))).unwrap_or_default();
    let script = format!(
        "BUCKET={} MODE={} UNTIL=$(date -u -d {until} +%Y-%m-%dT%H:%M:%SZ) &&\n\
         lock() {{ {} --bucket \"$BUCKET\" --key=\"$1\" --output text \\\n  \
         --query '[ObjectLockMode,ObjectLockRetainUntilDate]'; }}\n\
         digits() {{ printf '%s' \"$1\" | cut -c 1-19 | tr -dc 0-9; }}\n\
         KEYS=$({} --bucket \"$BUCKET\"{prefix} --query '(Contents || `[]`)[].[Key]' --output text{matches}) &&\n\
         [ -n \"$KEYS\" ] && printf '%s\\n' \"$KEYS\" | while IFS= read -r KEY; do\n  \
         NOW=$(lock \"$KEY\") || exit 1\n  \
         HAD=$(digits \"$(printf '%s' \"$NOW\" | cut -f 2)\") NEW=$UNTIL AS=$MODE\n  \
         case $NOW in COMPLIANCE*) AS=COMPLIANCE ;; esac\n  \
         if [ \"${{HAD:-0}}\" -ge \"$(digits \"$UNTIL\")\" ]; then\n    \
         case $NOW in \"$AS\"*) continue ;; esac\n    NEW=$(printf '%s' \"$NOW\" | cut -f 2)\n  fi\n  \
         {} --bucket \"$BUCKET\" --key=\"$KEY\" \\\n    --retention \"{{\\\"Mode\\\":\\\"$AS\\\",\\\"RetainUntilDate\\\":\\\"$NEW\\\"}}\" || exit 1\n  \
         lock \"$KEY\"\ndone",
        shell::word(&call.shown("bucket")),
        shell::word(&call.shown("mode")),
        aws::command(call, "s3api head-object"),
        aws::command(call, "s3api list-objects-v2"),
        aws::command(call, "s3api put-object-retention"),
    );
    vec![Manual {
        what: format!("Lock every object under {} that is not locked so long", words::code(&s3::shown(call))),
        script,
        changes: true,
        expect: "for each object that was not: its mode, and until when it is locked now".to_owned(),
    }]
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let now = ctx.world.clock.now();
    let length = given::duration_ms(ctx.with, "for")?.map(|ms| SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)));
    let until = match (length, given::text(ctx.with, "until")) {
        (Some(length), _) => now.checked_add(length).map_err(|_| Fault::refused("`for` is too long"))?,
        (None, Some(text)) => units::time(&text).map_err(|p| Fault::refused(format!("`until`: {}", p.what)))?,
        (None, None) => return Err(Fault::refused("neither `for` nor `until` is given")),
    };
    if until <= now {
        return Err(Fault::refused(format!("`until` is {until}, which has passed")));
    }
    // A store keeps whole seconds: what is promised is not less than what is asked.
    let until = Timestamp::from_second(until.as_second() + i64::from(until.subsec_nanosecond() > 0))
        .map_err(|_| Fault::refused("`until` is too late"))?;
    let Place { bucket, prefix } = s3::place(ctx)?;
    let mut work = Work { bucket, prefix, until, lacking: Vec::new() };
    work.lacking = look(ctx, &work).await?.1;
    keep::state(&work)
}

fn work(before: &Before) -> Answer<Work> {
    Work::deserialize(before).map_err(|_| Fault::refused("the state before does not hold what was read"))
}

fn compliance(ctx: &Ctx<'_>) -> bool {
    given::text(ctx.with, "mode").as_deref() == Some(COMPLIANCE)
}

/// The lock that an object lacks; none: it is locked so, or longer, or more strongly.
fn missing(ctx: &Ctx<'_>, work: &Work, had: Option<&(String, Timestamp)>) -> Option<(&'static str, Timestamp)> {
    let strong = compliance(ctx) || had.is_some_and(|(mode, _)| mode == COMPLIANCE);
    let mode = if strong { COMPLIANCE } else { GOVERNANCE };
    let until = had.map_or(work.until, |(_, until)| work.until.max(*until));
    let so = had.is_some_and(|(m, u)| m == mode && *u >= until);
    (!so).then_some((mode, until))
}

async fn facts(ctx: &Ctx<'_>, work: &Work, key: &str) -> Answer<ObjectFacts> {
    let found = ctx.world.objects.facts(&aws::settings(ctx), &work.bucket, key).await?;
    found.ok_or_else(|| Fault::refused(format!("{} was listed, but is not there", words::code(key))))
}

/// How many objects there are, and those that lack the lock now.
async fn look(ctx: &Ctx<'_>, work: &Work) -> Answer<(usize, Vec<Item>)> {
    let place = Place { bucket: work.bucket.clone(), prefix: work.prefix.clone() };
    let objects = s3::few(s3::listed(ctx, &place).await?, &place)?;
    let mut lacking = Vec::new();
    for object in &objects {
        let facts = facts(ctx, work, &object.key).await?;
        if missing(ctx, work, facts.retention.as_ref()).is_some() {
            lacking.push(Item { key: object.key.clone(), version: facts.version, had: facts.retention });
        }
    }
    Ok((objects.len(), lacking))
}

fn outputs(work: &Work, objects: usize) -> Outputs {
    let named = [("locked", json!(work.lacking.len())), ("objects", json!(objects)), ("until", json!(work.until.to_string()))];
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let work = work(before)?;
    let (objects, lacking) = look(ctx, &work).await?;
    let still = |item: &Item| lacking.iter().any(|now| now.key == item.key && now.version == item.version && now.had == item.had);
    Ok(if lacking.is_empty() {
        Probe::There(outputs(&work, objects))
    } else if lacking.len() == work.lacking.len() && work.lacking.iter().all(still) {
        Probe::NotThere
    } else {
        Probe::CannotTell(format!("{} of {objects} objects are not locked so long", lacking.len()))
    })
}

fn shown(lock: Option<&(String, Timestamp)>) -> String {
    lock.map_or_else(|| "not locked".to_owned(), |(mode, until)| format!("{mode} until {until}"))
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let work = work(before)?;
    let (_, lacking) = look(ctx, &work).await?;
    let line = |item: Item| {
        let new = missing(ctx, &work, item.had.as_ref()).map(|(mode, until)| format!("{mode} until {until}")).unwrap_or_default();
        Change { what: format!("s3://{}/{}", work.bucket, item.key), old: shown(item.had.as_ref()), new }
    };
    Ok(lacking.into_iter().map(line).collect())
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let work = work(before)?;
    let mut taken = false;
    let done = lock(ctx, &work, &mut taken).await;
    // Once one was locked, nothing that fails later says that nothing happened.
    done.map_err(|fault| if taken { Fault::lost(fault.cause) } else { fault })
}

async fn lock(ctx: &Ctx<'_>, work: &Work, taken: &mut bool) -> Answer<Outputs> {
    let (objects, lacking) = look(ctx, work).await?;
    for item in lacking {
        let now = facts(ctx, work, &item.key).await?;
        let Some((mode, until)) = missing(ctx, work, now.retention.as_ref()) else { continue };
        let object = ObjectRef { bucket: work.bucket.clone(), key: item.key.clone(), etag: now.etag, version: now.version };
        let sent = ctx.world.objects.retain(&aws::settings(ctx), &object, mode, until).await;
        *taken |= sent.as_ref().map_or_else(|fault| fault.landed == Landed::Maybe, |()| true);
        sent?;
        let now = facts(ctx, work, &item.key).await?;
        if missing(ctx, work, now.retention.as_ref()).is_some() {
            let key = words::code(&item.key);
            return Err(Fault::lost(format!("{key} was to be locked until {until}, and is {}", shown(now.retention.as_ref()))));
        }
    }
    Ok(outputs(work, objects))
}
