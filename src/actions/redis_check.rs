//! `redis.check`: what a server is, how far it is behind, and what it holds. No number of the stream is believed by
//! itself: see [`redis::lag`].

use serde_json::{Value, json};

use super::matcher::judge;
use super::{Action, AssetKind, Call, Ctx, Field, Manual, Output, Outputs, Type, given, redis, shell, template, units, words};
use crate::world::{Answer, Fault};

/// The longest value of a key that is read, in bytes.
const LONGEST: usize = 64 << 10;

pub(super) static ACTION: Action = Action {
    name: "redis.check",
    page: include_str!("redis_check.md"),
    fields: &[
        Field::optional("role", Type::Word(&["master", "replica"]), "what it must be"),
        Field::optional("max_lag", Type::Duration, "a replica must be no further behind in time"),
        Field::optional("max_bytes", Type::Size, "a replica must be no further behind in bytes"),
        Field::optional("keys", Type::Matcher, "what the number of keys in all databases must be"),
        Field::optional("key", Type::Text, "a key of the database whose text is wanted"),
        Field::optional("expect", Type::Matcher, "what the text of `key` must be"),
    ],
    outputs: &[
        Output::new("role", Type::Text, "`master` or `replica`"),
        Output::new("keys", Type::Int, "number of keys in all databases"),
        Output::new("append_only", Type::Bool, "whether it keeps an append-only file: then it ignores an RDB file when it starts"),
        Output::new("master", Type::Text, "whom a replica follows, `HOST:PORT`"),
        Output::new("link", Type::Bool, "whether a replica's stream runs"),
        Output::new("broken", Type::Duration, "how long ago a replica's stream broke off"),
        Output::new("lag", Type::Duration, "how far a replica is behind at most; absent if it cannot be told"),
        Output::new("bytes", Type::Int, "bytes that its master has and a replica has not; absent if its master cannot be asked"),
        Output::new("value", Type::Text, "the text of `key`, if there is one"),
    ],
    kinds: &[AssetKind::Redis],
    sentence: |call| format!("Look at Redis at {}: {}", redis::shown(call), wanted(call)),
    seen: wanted,
    commands,
    check,
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn wanted(call: &Call<'_>) -> String {
    let mut out = Vec::new();
    call.with.get("role").into_iter().for_each(|role| out.push(format!("it is a {}", template::plain(role))));
    call.with.get("keys").into_iter().for_each(|m| out.push(format!("the number of its keys {}", words::matcher(m))));
    if let (Some(key), Some(m)) = (call.with.get("key"), call.with.get("expect")) {
        out.push(format!("key {} {}", words::value(key), words::matcher(m)));
    }
    let limits = redis::limits(call);
    if !limits.is_empty() {
        out.push(format!("it is{}", limits.trim_start_matches(',')));
    }
    if out.is_empty() { "it answers".to_owned() } else { words::list(&out) }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let cli = redis::cli(call);
    let name = |what: &str| shell::variable(&format!("steps.{}.{what}", call.step));
    let role = name("role");
    let mut script = format!("{cli}redis INFO replication &&\n{role}=$({}) && [ -n \"${role}\" ]", redis::told("replication", "role"));
    match call.with.get("role").and_then(Value::as_str) {
        Some("replica") => script.push_str(&format!(" &&\n[ \"${role}\" = slave ]")),
        Some("master") => script.push_str(&format!(" &&\n[ \"${role}\" = master ]")),
        _ => {}
    }
    let keys = name("keys");
    script.push_str(&format!(
        " &&\n{keys}=$(redis INFO keyspace | tr -d '\\r' | sed -n 's/^db[0-9]*:keys=\\([0-9]*\\),.*/\\1/p' | awk '{{ n += $1 }} END {{ print n + 0 }}') && printf 'keys: %s\\n' \"${keys}\""
    ));
    if let Some(test) = call.with.get("keys").and_then(|m| shell::test(&keys, m)) {
        script.push_str(&format!(" &&\n{test}"));
    }
    if let Some(key) = call.with.get("key") {
        let value = name("value");
        script.push_str(&format!(" &&\n{value}=$(redis GET {}) && printf '%s\\n' \"${value}\"", shell::word(key)));
        if let Some(test) = call.with.get("expect").and_then(|m| shell::test(&value, m)) {
            script.push_str(&format!(" &&\n{test}"));
        }
    }
    vec![Manual {
        what: "Look at the server".to_owned(),
        script,
        changes: false,
        expect: format!(
            "{}. Of a replica: `master_link_status` is `up` and `slave_repl_offset` has what `master_repl_offset` is at its master; when the \
             master is gone, `master_link_down_since_seconds` says how long",
            wanted(call)
        ),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = redis::problems(call);
    let limited = ["max_lag", "max_bytes"].into_iter().find(|name| call.with.contains_key(*name));
    if let (Some(name), Some("master")) = (limited, call.with.get("role").and_then(Value::as_str)) {
        out.push((name, "a master is behind nobody".to_owned(), "role: replica".to_owned()));
    }
    if call.with.contains_key("expect") && !call.with.contains_key("key") {
        out.push(("expect", "there is no key whose text could be looked at".to_owned(), "key: name-of-a-key".to_owned()));
    }
    out
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let to = redis::target(ctx)?;
    let (max_ms, max_bytes) = redis::given_limits(ctx.with)?;
    let mut s = redis::standing(ctx).await?;
    if s.loading {
        return Err(Fault::refused(format!("{} still reads its data from the disk", redis::place(&to))));
    }
    if let Some(role) = given::text(ctx.with, "role") {
        judge("the role", &json!(role), Some(&json!(s.role()))).map_err(Fault::refused)?;
    }
    let mut lag = None;
    if s.master.is_some() || max_ms.is_some() || max_bytes.is_some() {
        let start = ctx.world.clock.elapsed();
        loop {
            let (now, found) = redis::lag(ctx).await?;
            let Err(why) = redis::within(&found, max_ms, max_bytes) else {
                (s, lag) = (now, Some(found));
                break;
            };
            // A stream that is broken off brings no more.
            if !now.link || ctx.world.clock.elapsed().saturating_sub(start) >= super::postgres_lag::patience(ctx) {
                return Err(Fault::refused(why));
            }
            ctx.world.clock.sleep(redis::PAUSE).await;
        }
    }
    if s.syncing {
        return Err(Fault::refused(format!("{} takes over everything of its master anew: what it has is not whole", redis::place(&to))));
    }
    if let Some(matcher) = ctx.with.get("keys").filter(|m| !m.is_null()) {
        judge("the number of keys", matcher, Some(&json!(s.keys))).map_err(Fault::refused)?;
    }
    let value = match given::text(ctx.with, "key") {
        Some(key) => text(ctx, &key).await?,
        None => None,
    };
    if let Some(matcher) = ctx.with.get("expect").filter(|m| !m.is_null()) {
        judge("the text of the key", matcher, value.as_ref()).map_err(Fault::refused)?;
    }
    let mut out = Outputs::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    };
    put("role", Some(json!(s.role())));
    put("keys", Some(json!(s.keys)));
    put("append_only", Some(json!(s.append_only)));
    put("link", s.master.is_some().then(|| json!(s.link)));
    put("broken", s.down_s.filter(|_| !s.link).map(|seconds| json!(units::duration_text(seconds * 1000))));
    put("master", s.master.map(|(host, port)| json!(format!("{host}:{port}"))));
    put("lag", lag.as_ref().and_then(|l| l.ms).map(|ms| json!(units::duration_text(ms))));
    put("bytes", lag.as_ref().and_then(|l| l.bytes).map(|bytes| json!(bytes)));
    put("value", value);
    Ok(out)
}

/// The text of a key; none if there is none. What is longer than can be read is a refusal: a part could hide what must
/// not be there.
async fn text(ctx: &Ctx<'_>, key: &str) -> Answer<Option<Value>> {
    let to = redis::target(ctx)?;
    if redis::ask(ctx, &to, &["EXISTS", key]).await? == json!(0) {
        return Ok(None);
    }
    let end = LONGEST.to_string();
    let value = redis::ask(ctx, &to, &["GETRANGE", key, "0", &end]).await?;
    if value.as_str().is_none_or(|text| text.len() > LONGEST) {
        return Err(Fault::refused(format!("the text of {} is longer than 64 KiB", words::code(key))));
    }
    Ok(Some(ctx.struck_value(&value)))
}
