//! `route53.health_check`: inverts or disables a health check, so that answers that hang on it change. It does not know which
//! records those are.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Deed, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, aws, given, keep,
    shell, words,
};
use crate::world::{Answer, Fault, HealthCheck};

/// The words that may be set.
const WORDS: [&str; 2] = ["inverted", "disabled"];

pub(super) static ACTION: Action = Action {
    name: "route53.health_check",
    page: include_str!("route53_health_check.md"),
    fields: &[
        Field::required("health_check", Type::Text, "id of the health check"),
        Field::optional("inverted", Type::Bool, "whether good is taken for bad and bad for good"),
        Field::optional("disabled", Type::Bool, "whether it is no longer asked, and counts as good"),
    ],
    outputs: &[
        Output::new("inverted", Type::Bool, "whether it is inverted now"),
        Output::new("disabled", Type::Bool, "whether it is disabled now"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Route53],
    deed: Deed::Points,
    undo: UndoKind::Auto,
    takes_ms: Some(60_000),
    settles_ms: 60_000,
    feature: Some("aws"),
    sentence: |call| format!("Set health check {} to {}", words::value(&call.shown("health_check")), wanted_words(call)),
    seen: |call| format!("health check {} is {}", words::value(&call.shown("health_check")), wanted_words(call)),
    commands,
    undo_commands,
    check: |call| match WORDS.iter().any(|word| call.with.contains_key(*word)) {
        true => vec![],
        false => vec![("inverted", "nothing says what it is to be".to_owned(), "inverted: true".to_owned())],
    },
    before: |ctx| Box::pin(async { keep::state(&read(ctx).await?) }),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

fn wanted_words(call: &Call<'_>) -> String {
    let each = WORDS.iter().filter_map(|word| Some(format!("{word}: {}", words::value(call.with.get(*word)?))));
    words::list(&each.collect::<Vec<_>>())
}

fn id_word(call: &Call<'_>) -> String {
    shell::word(&call.shown("health_check"))
}

/// Reads the version and both words into `$V`, `$I` and `$D`.
fn look(call: &Call<'_>) -> String {
    format!(
        "FOUND=$({} --health-check-id {} \\\n  --query 'HealthCheck.[HealthCheckVersion,HealthCheckConfig.Inverted,HealthCheckConfig.Disabled]' --output text) &&\n\
         V=$(printf '%s' \"$FOUND\" | cut -f 1) && I=$(printf '%s' \"$FOUND\" | cut -f 2) && D=$(printf '%s' \"$FOUND\" | cut -f 3)",
        aws::command(call, "route53 get-health-check"),
        id_word(call)
    )
}

fn kept(call: &Call<'_>) -> String {
    shell::literal(&format!("{}.before", call.step))
}

/// Sets what each variable holds that is not empty.
fn update(call: &Call<'_>) -> String {
    format!(
        "word() {{ case $2 in [Tt]rue) echo \"--$1\" ;; *) echo \"--no-$1\" ;; esac; }}\n\
         {} --health-check-id {} --health-check-version \"$V\" \\\n  $(word inverted \"$I\") $(word disabled \"$D\") --query HealthCheck.HealthCheckVersion",
        aws::command(call, "route53 update-health-check"),
        id_word(call)
    )
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let set: String =
        WORDS.iter().zip(["I", "D"]).filter_map(|(word, var)| Some(format!("{var}={}\n", shell::word(call.with.get(*word)?)))).collect();
    let kept = kept(call);
    vec![Manual {
        what: format!("Set health check {}", words::value(&call.shown("health_check"))),
        script: format!("{} &&\n{{ [ -s {kept} ] || printf '%s %s\\n' \"$I\" \"$D\" >{kept}; }}\n{set}{}", look(call), update(call)),
        changes: true,
        expect: format!("its new version; {} keeps what it was for the way back", words::code(&kept)),
    }]
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    vec![Manual {
        what: format!("Set health check {} back", words::value(&call.shown("health_check"))),
        script: format!("{} &&\nread -r I D <{} &&\n{}", look(call), kept(call), update(call)),
        changes: true,
        expect: format!("its new version. It is only done while it is {}: anything else is somebody's newer change", wanted_words(call)),
    }]
}

fn id(ctx: &Ctx<'_>) -> Answer<String> {
    given::need(ctx.with, "health_check")
}

async fn read(ctx: &Ctx<'_>) -> Answer<HealthCheck> {
    let id = id(ctx)?;
    let found = ctx.world.dns.health_check(&aws::settings(ctx), &id).await?;
    found.ok_or_else(|| Fault::refused(format!("there is no health check {}", words::code(&id))))
}

fn was(before: &Before) -> Answer<HealthCheck> {
    HealthCheck::deserialize(before).map_err(|_| Fault::refused("the state before does not hold the health check"))
}

/// A health check as the step wants it.
fn wanted(with: &Map<String, Value>, old: &HealthCheck) -> HealthCheck {
    let word = |name: &str, old: bool| given::text(with, name).map_or(old, |t| t == "true");
    HealthCheck { inverted: word("inverted", old.inverted), disabled: word("disabled", old.disabled), ..old.clone() }
}

/// The words that the step sets; the others are nobody's concern.
fn words_of(with: &Map<String, Value>, check: &HealthCheck) -> Vec<bool> {
    let named = [("inverted", check.inverted), ("disabled", check.disabled)];
    named.into_iter().filter(|(name, _)| with.contains_key(*name)).map(|(_, word)| word).collect()
}

fn shown(check: &HealthCheck) -> String {
    format!("inverted: {}, disabled: {}", check.inverted, check.disabled)
}

fn outputs(check: &HealthCheck) -> Outputs {
    [("inverted".to_owned(), json!(check.inverted)), ("disabled".to_owned(), json!(check.disabled))].into_iter().collect()
}

fn foreign(now: &HealthCheck, old: &HealthCheck) -> String {
    format!("it is {}, neither what this step sets nor what it was ({})", words::code(&shown(now)), words::code(&shown(old)))
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (now, old) = (read(ctx).await?, was(before)?);
    let words = |check: &HealthCheck| words_of(ctx.with, check);
    Ok(if words(&now) == words(&wanted(ctx.with, &old)) {
        Probe::There(outputs(&now))
    } else if words(&now) == words(&old) {
        Probe::NotThere
    } else {
        Probe::Other(foreign(&now, &old))
    })
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let (now, new) = (read(ctx).await?, wanted(ctx.with, &was(before)?));
    if words_of(ctx.with, &now) == words_of(ctx.with, &new) {
        return Ok(Vec::new());
    }
    let new = wanted(ctx.with, &now);
    Ok(vec![Change { what: format!("health check {}", id(ctx)?), old: shown(&now), new: shown(&new) }])
}

/// Sets it, if nobody changed it since it was read.
async fn set(ctx: &Ctx<'_>, check: &HealthCheck) -> Answer<()> {
    ctx.world.dns.set_health_check(&aws::settings(ctx), &id(ctx)?, check).await
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let (now, old) = (read(ctx).await?, was(before)?);
    let new = wanted(ctx.with, &now);
    if new == now {
        return Ok(outputs(&now));
    }
    if words_of(ctx.with, &now) != words_of(ctx.with, &old) {
        return Err(Fault::refused(foreign(&now, &old)));
    }
    set(ctx, &new).await?;
    Ok(outputs(&new))
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (now, old) = (read(ctx).await?, was(before)?);
    let words = |check: &HealthCheck| words_of(ctx.with, check);
    if words(&now) == words(&old) {
        return Ok(Probe::NotThere);
    }
    if words(&now) != words(&wanted(ctx.with, &old)) {
        return Ok(Probe::Other(foreign(&now, &old)));
    }
    let mut back = now.clone();
    for (name, word) in [("inverted", old.inverted), ("disabled", old.disabled)] {
        match (name, ctx.with.contains_key(name)) {
            ("inverted", true) => back.inverted = word,
            ("disabled", true) => back.disabled = word,
            _ => {}
        }
    }
    set(ctx, &back).await?;
    Ok(Probe::NotThere)
}
