//! `wait`: lets time pass, or asks a reading action again and again until it holds.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Action, Call, Ctx, Effect, Field, Manual, Output, Outputs, Type, find, given, shell, template, units, words};
use crate::world::{Answer, Fault};

const EVERY_MS: u64 = 5_000;

pub(super) static ACTION: Action = Action {
    name: "wait",
    page: include_str!("wait.md"),
    fields: &[
        Field::optional("for", Type::Duration, "how long to wait; this or `until`"),
        Field::optional("until", Type::Call, "a reading action that must hold; this or `for`"),
        Field::default("every", Type::Duration, "5s", "pause between two looks of `until`"),
        Field::optional("holds_for", Type::Duration, "`until` must hold all that time; one miss fails"),
    ],
    outputs: &[
        Output::new("waited", Type::Duration, "how long it was waited"),
        Output::new("found", Type::Any, "the outputs of the last look of `until`"),
    ],
    sentence,
    seen: |call| match inner(call) {
        Some((action, with)) => (action.seen)(&Call { with: &with, ..*call }),
        None => "the time has passed".to_owned(),
    },
    commands,
    check,
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn sentence(call: &Call<'_>) -> String {
    let Some((action, with)) = inner(call) else {
        return format!("Wait for {}", words::value(&call.shown("for")));
    };
    let what = (action.sentence)(&Call { with: &with, ..*call });
    let held = call.field("holds_for").map_or(String::new(), |held| format!(", and holds for {}", words::value(held)));
    format!("Look every {} until this holds{held}: {what}", every(call))
}

fn every(call: &Call<'_>) -> String {
    words::value(call.field("every").unwrap_or(&Value::String(units::duration_text(EVERY_MS))))
}

/// Seconds as a word for `sleep`.
fn seconds(value: Option<&Value>, default_ms: u64) -> String {
    let Some(value) = value else { return (default_ms / 1000).to_string() };
    match units::duration_ms(&template::plain(value)) {
        Ok(ms) => ms.div_ceil(1000).to_string(),
        Err(_) => shell::word(value),
    }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let Some((action, with)) = inner(call) else {
        let script = format!("sleep {}", seconds(call.field("for"), 0));
        return vec![Manual { what: "Wait".to_owned(), script, changes: false, expect: "the time has passed".to_owned() }];
    };
    let pause = seconds(call.field("every"), EVERY_MS);
    let held = call.field("holds_for").map(|held| format!("; then watch it for {}: one miss fails", words::value(held)));
    let looks = (action.commands)(&Call { with: &with, ..*call });
    looks
        .into_iter()
        .map(|look| Manual {
            what: format!("{}, again and again", look.what),
            script: format!("until {{\n{}\n}}; do sleep {pause}; done", look.script),
            changes: false,
            expect: format!("{}{}", look.expect, held.as_deref().unwrap_or_default()),
        })
        .collect()
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let has = |name: &str| call.with.get(name).is_some_and(|v| !v.is_null());
    let mut out = Vec::new();
    match (has("for"), has("until")) {
        (false, false) => {
            out.push(("for", "nothing says how long to wait".to_owned(), "for: 10m, or until: { uses: …, with: … }".to_owned()))
        }
        (true, true) => {
            out.push(("for", "a wait is either for a time or until something holds".to_owned(), "leave out `for` or `until`".to_owned()))
        }
        (true, false) if has("holds_for") => {
            out.push(("holds_for", "there is nothing that could hold".to_owned(), "until: { uses: …, with: … }".to_owned()));
        }
        _ => {}
    }
    if let Some((action, with)) = inner(call) {
        if action.effect != Effect::Read || action.name == ACTION.name {
            out.push((
                "until",
                format!("`{}` is not an action that only looks", action.name),
                "uses: http.check, or another check".to_owned(),
            ));
        } else {
            out.extend((action.check)(&Call { with: &with, ..*call }).into_iter().map(|(_, what, help)| ("until", what, help)));
        }
    }
    out
}

fn inner(call: &Call<'_>) -> Option<(&'static Action, Map<String, Value>)> {
    let until = given::record(call.with, "until")?;
    let action = find(until.get("uses")?.as_str()?)?;
    Some((action, given::record(until, "with").cloned().unwrap_or_default()))
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let clock = &ctx.world.clock;
    let start = clock.elapsed();
    let waited = |found: Option<Outputs>| {
        let ms = u64::try_from(clock.elapsed().saturating_sub(start).as_millis()).unwrap_or(u64::MAX);
        let mut out = Outputs::new();
        out.insert("waited".to_owned(), Value::String(units::duration_text(ms)));
        found.into_iter().for_each(|found| {
            out.insert("found".to_owned(), Value::Object(found));
        });
        out
    };
    if let Some(ms) = given::duration_ms(ctx.with, "for")? {
        clock.sleep(Duration::from_millis(ms)).await;
        return Ok(waited(None));
    }
    let call = Call { step: "", with: ctx.with, target: ctx.target };
    let (action, with) = inner(&call).ok_or_else(|| Fault::refused("`until` names no action"))?;
    let every = Duration::from_millis(given::duration_ms(ctx.with, "every")?.unwrap_or(EVERY_MS).max(100));
    let hold = Duration::from_millis(given::duration_ms(ctx.with, "holds_for")?.unwrap_or(0));
    let look = Ctx { with: &with, begin_by: None, ..*ctx };
    let mut held_since = None;
    loop {
        match ((action.apply)(&look, &Value::Null).await, held_since) {
            (Ok(found), since) => {
                let since = *held_since.insert(since.unwrap_or_else(|| clock.elapsed()));
                if clock.elapsed().saturating_sub(since) >= hold {
                    return Ok(waited(Some(found)));
                }
            }
            (Err(miss), Some(since)) => {
                let ms = u64::try_from(clock.elapsed().saturating_sub(since).as_millis()).unwrap_or(u64::MAX);
                return Err(Fault::refused(format!("it held for {} and then no more: {miss}", units::duration_text(ms))));
            }
            // The attempt's limit would end this without a word of what was missing.
            (Err(miss), None) if ctx.timeout.is_some_and(|limit| clock.elapsed().saturating_sub(start) + every >= limit) => {
                let limit = ctx.timeout.map_or(0, |t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX));
                return Err(Fault { cause: format!("it did not hold within {}: {miss}", units::duration_text(limit)), ..miss });
            }
            (Err(_), None) => {}
        }
        clock.sleep(every).await;
    }
}
