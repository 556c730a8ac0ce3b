//! `s3.check`: the newest object under a prefix, and what protects it. It does not read the object.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::matcher::judge_all;
use super::{Action, Call, Ctx, Field, Manual, Output, Outputs, Type, aws, given, s3, shell, template, units, words};
use crate::world::{Answer, Fault};

const EXPECT: &[Field] = &[
    Field::optional("found", Type::Matcher, "whether there is one; without it one must be there"),
    Field::optional("age", Type::Matcher, "its age, as `26h`"),
    Field::optional("size", Type::Matcher, "its size, as `1GiB`"),
    Field::optional("change", Type::Matcher, "by how many percent its size is another than that of the object before it, up or down"),
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
        Output::new(
            "change",
            Type::Int,
            "by how many percent that is another size than that of the object before it; absent if there is none, or an empty one",
        ),
        Output::new("encryption", Type::Text, "its server-side encryption"),
        Output::new("retention", Type::Duration, "how long it still cannot be deleted"),
        Output::new("retention_mode", Type::Text, "`GOVERNANCE` or `COMPLIANCE`"),
        Output::new("checksum", Type::Text, "its checksum, as `algorithm:value`; absent if the store keeps none"),
    ],
    feature: Some("aws"),
    sentence: |call| match call.with.contains_key("expect") {
        true => format!("Look at the newest object under {} and see that {}", words::code(&s3::shown(call)), wanted(call)),
        false => format!("Look for the newest object under {}: {}", words::code(&s3::shown(call)), wanted(call)),
    },
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

fn wanted(call: &Call<'_>) -> String {
    let expect = given::record(call.with, "expect");
    let all: Vec<String> = expect.into_iter().flatten().map(|(name, m)| format!("its {name} {}", words::matcher(m))).collect();
    let before = call.with.get("before").map(|t| format!(", written not later than {}", words::value(t))).unwrap_or_default();
    match expect {
        None => format!("there is one{before}, or `None`"),
        Some(_) if all.is_empty() => format!("there is one{before}"),
        Some(_) => format!("{}{before}", words::list(&all)),
    }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let bucket = shell::word(&call.shown("bucket"));
    let prefix = call.field("prefix").map(|p| format!(" --prefix={}", shell::word(p))).unwrap_or_default();
    let variable = |name: &str| shell::variable(&format!("steps.{}.{name}", call.step));
    let (key, time, size) = (variable("key"), variable("time"), variable("size"));
    // Times of one zone in one form: the order of letters is that of time.
    let before = call.with.get("before").map(|t| format!("LastModified<='{}'", template::plain(t)));
    let fits = call.with.get("matches").and_then(Value::as_str).and_then(fits);
    let matches = call.with.get("matches").filter(|_| fits.is_none());
    let filter = [before, fits].into_iter().flatten().collect::<Vec<_>>().join(" && ");
    let filter = if filter.is_empty() { filter } else { format!("?{filter}") };
    let ask = |pick: &str| {
        let pick = Value::String(format!("sort_by(Contents[{filter}] || `[]`, &LastModified)[{pick}"));
        format!(
            "$({} --bucket {bucket}{prefix} \\\n  --query {} --output text)",
            aws::command(call, "s3api list-objects-v2"),
            shell::word(&pick)
        )
    };
    let mut list = format!("FOUND={} && printf '%s\\n' \"$FOUND\" &&\n", ask("-1].[Key,LastModified,Size]"));
    let cut: Vec<String> = [&key, &time, &size]
        .into_iter()
        .enumerate()
        .map(|(i, name)| format!("{name}=$(printf '%s\\n' \"$FOUND\" | cut -f {})", i + 1))
        .collect();
    list.push_str(&cut.join(" && "));
    // Where nothing is wanted none is an answer too.
    match given::record(call.with, "expect") {
        None => {}
        Some(expect) if expect.get("found") == Some(&Value::Bool(false)) => list.push_str(&format!(" &&\n[ \"${key}\" = None ]")),
        Some(_) => list.push_str(&format!(" &&\n[ \"${key}\" != None ]")),
    }
    let matches = matches.map(|re| format!("; its key must match {}, else look further back", words::value(re)));
    let mut out = vec![Manual {
        what: "Find the newest object".to_owned(),
        script: list,
        changes: false,
        expect: format!("its key, time and size, so that {}{}", wanted(call), matches.unwrap_or_default()),
    }];
    if let Some(wanted) = given::record(call.with, "expect").and_then(|e| e.get("change")) {
        let change = variable("change");
        // A name in place of a number would end the shell.
        let measured = format!(
            "OLD={} && printf '%s\\n' \"$OLD\" && [ \"$OLD\" -gt 0 ] &&\nD=$((${size} - OLD)) && {change}=$(((${{D#-}} * 100 + OLD - 1) / OLD)) && printf '%s\\n' \"${change}\"",
            ask("-2].Size")
        );
        let test = shell::test(&change, wanted).map(|test| format!(" &&\n{test}")).unwrap_or_default();
        out.push(Manual {
            what: "Look how large the one before it was".to_owned(),
            script: measured + &test,
            changes: false,
            expect: format!("the size of the object before it, and the difference in percent, which {}", words::matcher(wanted)),
        });
    }
    let deep = ["encryption", "retention", "retention_mode", "checksum"];
    if given::record(call.with, "expect").is_some_and(|e| deep.iter().any(|name| e.contains_key(*name))) {
        out.push(Manual {
            what: "Look at what protects it".to_owned(),
            script: format!(
                "{} --bucket {bucket} --key=\"${key}\" --checksum-mode ENABLED --output json",
                aws::command(call, "s3api head-object")
            ),
            changes: false,
            expect: format!("{} (`ServerSideEncryption`, `ObjectLockRetainUntilDate`, `ObjectLockMode`, `Checksum…`)", wanted(call)),
        });
    }
    out
}

/// A pattern as a condition of JMESPath, which knows no patterns: of a text that a key begins with, ends with or holds.
fn fits(pattern: &str) -> Option<String> {
    let (from_start, rest) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
    let mut text = String::new();
    let mut to_end = false;
    let mut signs = rest.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '$' if signs.as_str().is_empty() => to_end = true,
            '\\' => text.push(signs.next().filter(|next| "./-_$+()[]{}".contains(*next))?),
            '/' | '-' | '_' | ' ' => text.push(sign),
            sign if sign.is_alphanumeric() => text.push(sign),
            _ => return None,
        }
    }
    let how = match (from_start, to_end) {
        (true, true) => return Some(format!("Key=='{text}'")),
        (true, false) => "starts_with",
        (false, true) => "ends_with",
        (false, false) => "contains",
    };
    (!text.is_empty()).then(|| format!("{how}(Key, '{text}')"))
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let place = s3::place(ctx)?;
    let settings = aws::settings(ctx);
    let mut objects = s3::listed(ctx, &place).await?;
    let newest = objects.pop();
    let mut out = Outputs::new();
    out.insert("found".to_owned(), json!(newest.is_some()));
    if let Some(object) = &newest {
        let facts = ctx.world.objects.facts(&settings, &place.bucket, &object.key).await?;
        let facts = facts.ok_or_else(|| Fault::refused(format!("{} was listed, but is not there", words::code(&object.key))))?;
        let now = ctx.world.clock.now();
        let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
        put("key", json!(object.key));
        put("time", json!(object.modified.to_string()));
        put("age", json!(units::duration_text(ms_between(object.modified, now))));
        put("size", json!(object.size));
        objects.last().and_then(|old| change(old.size, object.size)).map(|percent| put("change", json!(percent)));
        facts.encryption.map(|e| put("encryption", json!(e)));
        facts.checksum.map(|c| put("checksum", json!(c)));
        if let Some((mode, until)) = facts.retention {
            put("retention", json!(units::duration_text(ms_between(now, until))));
            put("retention_mode", json!(mode));
        }
    }
    judged(ctx, &out).map_err(|why| {
        let which = out.get("key").map_or_else(|| "nothing was found".to_owned(), |key| format!("the newest is {}", words::value(key)));
        Fault::refused(format!("{why}; {which} under {}", words::code(&place.url())))
    })?;
    Ok(out)
}

/// By how many percent of the old size the new one is another, begun ones whole.
fn change(old: u64, new: u64) -> Option<u64> {
    let parts = u128::from(old.abs_diff(new)) * 100;
    (old > 0).then(|| parts.div_ceil(u128::from(old))).and_then(|percent| u64::try_from(percent).ok())
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

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_pattern_that_is_a_text_is_looked_for_by_the_page_too() {
        assert_eq!(fits(r"\.sql\.gz$").as_deref(), Some("ends_with(Key, '.sql.gz')"));
        assert_eq!(fits(r"^full/a-b_c").as_deref(), Some("starts_with(Key, 'full/a-b_c')"));
        assert_eq!(fits("/weekly/").as_deref(), Some("contains(Key, '/weekly/')"));
        assert_eq!(fits(r"^a\$$").as_deref(), Some("Key=='a$'"));
        for pattern in ["a.b", "a+", "(a)", "[ab]$", "a|b", r"\d$", "a$b", "it's", "`x`", "", "$", "^", r"a\", "a'||'"] {
            assert_eq!(fits(pattern), None, "{pattern}");
        }
    }
}
