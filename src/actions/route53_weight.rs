//! `route53.weight`: shifts the weights of a record's sets, pace by pace, and back when a guard does not hold. It does not know
//! what resolvers still remember.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Deed, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, aws, find, given,
    route53, shell, template, words,
};
use crate::world::{Answer, DnsChange, Fault, WeightedSet};

const EVERY_MS: u64 = 120_000;

pub(super) static ACTION: Action = Action {
    name: "route53.weight",
    page: include_str!("route53_weight.md"),
    fields: &[
        Field::required("to", Type::Map(&Type::Int), "names of the record's sets to the weights that they are to have at last"),
        Field::optional(
            "paces",
            Type::List(&Type::Int),
            "how much of the way is gone at each pace, in percent, the last one 100; else at once",
        ),
        Field::default("every", Type::Duration, "2m", "pause between two paces"),
        Field::optional("guard", Type::Call, "a reading action that must hold before each pace; if not, the weights go back"),
    ],
    outputs: &[Output::new("old", Type::Text, "the weights before"), Output::new("new", Type::Text, "the weights now")],
    effect: Effect::Idempotent,
    kinds: &[AssetKind::Route53],
    deed: Deed::Points,
    stops: |call| given::record(call.with, "to").is_some_and(|to| !to.is_empty() && to.values().all(|w| template::plain(w) == "0")),
    undo: UndoKind::Auto,
    takes_by: |call| Some(every(call.with)?.saturating_mul(paces(call.with).ok()?.len() as u64)),
    settles_ms: 60_000,
    feature: Some("aws"),
    sentence: |call| {
        let paces = match paces(call.with) {
            Ok(paces) if paces.len() > 1 => {
                format!(", {} % of the way, one pace every {}", list(&paces), words::value(call.field("every").unwrap_or(&json!("2m"))))
            }
            _ => String::new(),
        };
        format!("Shift the weights of {} to {}{paces}", route53::record_words(call), to_words(call))
    },
    seen: |call| format!("the weights of {} are {}", route53::record_words(call), to_words(call)),
    commands,
    undo_commands,
    check,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

fn every(with: &Map<String, Value>) -> Option<u64> {
    given::duration_ms(with, "every").ok().map(|ms| ms.unwrap_or(EVERY_MS))
}

/// The paces in percent, growing, the last one 100.
fn paces(with: &Map<String, Value>) -> Answer<Vec<u64>> {
    let given = given::list(with, "paces");
    if given.is_empty() {
        return Ok(vec![100]);
    }
    let paces: Option<Vec<u64>> = given.iter().map(|p| template::plain(p).parse().ok()).collect();
    match paces.filter(|p| p.first() > Some(&0) && p.is_sorted_by(|a, b| a < b) && p.last() == Some(&100)) {
        Some(paces) => Ok(paces),
        None => Err(Fault::refused("`paces` must grow from above 0 to 100")),
    }
}

fn list(paces: &[u64]) -> String {
    words::list(&paces.iter().map(u64::to_string).collect::<Vec<_>>())
}

fn to_words(call: &Call<'_>) -> String {
    let to = given::record(call.with, "to").into_iter().flatten();
    words::list(&to.map(|(id, weight)| format!("{} of {}", words::value(weight), words::code(id))).collect::<Vec<_>>())
}

fn guard(with: &Map<String, Value>) -> Option<(&'static Action, Map<String, Value>)> {
    let guard = given::record(with, "guard")?;
    Some((find(guard.get("uses")?.as_str()?)?, given::record(guard, "with").cloned().unwrap_or_default()))
}

/// Defines `weight ID`, which reads a weight, and `weigh ID WEIGHT …`, which sets several at once, if nobody changed them meanwhile.
fn functions(call: &Call<'_>) -> String {
    format!(
        "{}\n\
         set_of() {{ {} --hosted-zone-id {} \\\n  \
         --query \"ResourceRecordSets[?Name=='$RECORD' && Type=='$TYPE' && SetIdentifier=='$1'] | [0]$2\" --output \"$3\"; }}\n\
         weight() {{ set_of \"$1\" .Weight text; }}\n\
         weigh() {{ CHANGES=\n  \
         while [ $# -gt 1 ]; do\n    \
         NOW=$(set_of \"$1\" '' json) && W=$(printf %d \"$2\") || return\n    \
         [ \"$NOW\" != null ] || {{ echo \"there is no set $1\" >&2; return 1; }}\n    \
         NEW=$(printf '%s' \"$NOW\" | sed \"s/\\\"Weight\\\": *[0-9]*/\\\"Weight\\\": $W/\")\n    \
         [ \"$NEW\" = \"$NOW\" ] || CHANGES=\"$CHANGES${{CHANGES:+,}}{{\\\"Action\\\":\\\"DELETE\\\",\\\"ResourceRecordSet\\\":$NOW}},{{\\\"Action\\\":\\\"CREATE\\\",\\\"ResourceRecordSet\\\":$NEW}}\"\n    \
         shift 2\n  done\n  \
         [ -n \"$CHANGES\" ] || {{ echo 'it is so already'; return 0; }}\n  \
         ID=$({} --hosted-zone-id {} --query ChangeInfo.Id --output text --change-batch \"{{\\\"Changes\\\":[$CHANGES]}}\") &&\n  \
         until [ \"$({} --id \"$ID\" --query ChangeInfo.Status --output text | tee /dev/stderr)\" = INSYNC ]; do sleep 2; done; }}",
        route53::read_function(call),
        aws::command(call, "route53 list-resource-record-sets"),
        shell::word(&call.shown("zone")),
        aws::command(call, "route53 change-resource-record-sets"),
        shell::word(&call.shown("zone")),
        aws::command(call, "route53 get-change"),
    )
}

fn kept(call: &Call<'_>, n: usize) -> String {
    shell::literal(&format!("{}.{n}.before", call.step))
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let to: Vec<(usize, &String, &Value)> =
        given::record(call.with, "to").into_iter().flatten().enumerate().map(|(n, (id, w))| (n + 1, id, w)).collect();
    let keep: String = to.iter().map(|(n, id, _)| format!("[ -s {0} ] || weight {1} >{0}\n", kept(call, *n), shell::literal(id))).collect();
    let mut out = vec![Manual {
        what: format!("Keep the weights of {} as they are", route53::record_words(call)),
        script: format!("{}\n{keep}head {}", functions(call), to.iter().map(|(n, ..)| kept(call, *n)).collect::<Vec<_>>().join(" ")),
        changes: false,
        expect: "a number for each: these are the weights for the way back".to_owned(),
    }];
    for pace in paces(call.with).unwrap_or_else(|_| vec![100]) {
        if let Some((action, with)) = guard(call.with) {
            out.extend(
                (action.commands)(&Call { with: &with, ..*call })
                    .into_iter()
                    .map(|look| Manual { expect: format!("{}; if not, put the weights back", look.expect), ..look }),
            );
        }
        let args: String = to
            .iter()
            .map(|(n, id, w)| {
                let parts = format!(
                    "O=$(tr -dc 0-9 <{}) && T=$(printf %d {}) && echo $(((O * {} + T * {pace} + 50) / 100))",
                    kept(call, *n),
                    shell::word(w),
                    100 - pace
                );
                format!(" \\\n  {} \"$({parts})\"", shell::literal(id))
            })
            .collect();
        out.push(Manual {
            what: format!("Go {pace} % of the way"),
            script: format!("{}\nweigh{args}", functions(call)),
            changes: true,
            expect: "`INSYNC`".to_owned(),
        });
    }
    out
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    let to = given::record(call.with, "to").into_iter().flatten().enumerate();
    let args: String = to.map(|(n, (id, _))| format!(" {} \"$(cat {})\"", shell::literal(id), kept(call, n + 1))).collect();
    vec![Manual {
        what: format!("Put the weights of {} back", route53::record_words(call)),
        script: format!("{}\nweigh{args}", functions(call)),
        changes: true,
        expect: "`INSYNC`. Look first (`weight NAME`): weights that are none of this step's paces are somebody's newer change".to_owned(),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = Vec::new();
    if given::record(call.with, "to").is_none_or(Map::is_empty) {
        out.push(("to", "no weights are given".to_owned(), "to: { lb-a: 0, lb-b: 100 }".to_owned()));
    }
    let known = given::list(call.with, "paces").iter().all(|p| template::references(p).is_empty());
    if known && paces(call.with).is_err() {
        out.push(("paces", "they must grow from above 0 to 100".to_owned(), "paces: [10, 50, 100]".to_owned()));
    }
    match guard(call.with) {
        Some((action, _)) if action.effect != Effect::Read => {
            out.push((
                "guard",
                format!("`{}` is not an action that only looks", action.name),
                "uses: http.check, or another check".to_owned(),
            ));
        }
        Some((action, with)) => {
            out.extend((action.check)(&Call { with: &with, ..*call }).into_iter().map(|(_, what, help)| ("guard", what, help)));
        }
        None => {}
    }
    out
}

/// All that a pace needs.
struct Way {
    /// The sets that the step names, as they were.
    old: Vec<WeightedSet>,
    /// Their weights at last.
    to: Vec<u64>,
    /// In percent.
    paces: Vec<u64>,
}

impl Way {
    fn of(ctx: &Ctx<'_>, before: &Before) -> Answer<Way> {
        let old = before.get("sets").ok_or_else(|| Fault::refused("the state before does not hold the sets"))?;
        let old = Vec::<WeightedSet>::deserialize(old).map_err(|_| Fault::refused("the state before does not hold sets"))?;
        let to = old.iter().map(|set| wanted(ctx, &set.id)).collect::<Answer<Vec<u64>>>()?;
        Ok(Way { old, to, paces: paces(ctx.with)? })
    }

    /// The weights after so much of the way.
    fn at(&self, percent: u64) -> Vec<u64> {
        self.old.iter().zip(&self.to).map(|(set, to)| (set.weight * (100 - percent) + to * percent + 50) / 100).collect()
    }

    /// How much of the way is gone: none where the weights, or anything else of the sets, are of none of its paces.
    fn gone(&self, now: &[WeightedSet]) -> Option<u64> {
        let apart = |set: &WeightedSet| WeightedSet { weight: 0, ..set.clone() };
        let same = now.len() == self.old.len() && now.iter().zip(&self.old).all(|(a, b)| apart(a) == apart(b));
        let weights: Vec<u64> = now.iter().map(|set| set.weight).collect();
        // Where two paces have the same weights, the later one is gone.
        let all = std::iter::once(0).chain(self.paces.iter().copied());
        all.rev().find(|percent| same && self.at(*percent) == weights)
    }

    fn foreign(&self, now: &[WeightedSet]) -> String {
        format!(
            "the weights are {}, which is none of this step's paces from {}, or something else of the sets was changed",
            shown(now),
            shown(&self.old)
        )
    }
}

fn wanted(ctx: &Ctx<'_>, id: &str) -> Answer<u64> {
    let weight = given::record(ctx.with, "to").and_then(|to| to.get(id)).map(template::plain).unwrap_or_default();
    match weight.parse::<u64>() {
        Ok(weight) if weight <= 255 => Ok(weight),
        _ => Err(Fault::refused(format!("{} is no weight: it is a number from 0 to 255", words::code(&weight)))),
    }
}

fn shown(sets: &[WeightedSet]) -> String {
    words::code(&sets.iter().map(|set| format!("{}: {}", set.id, set.weight)).collect::<Vec<_>>().join(", "))
}

/// The sets that the step names, as they are.
async fn read(ctx: &Ctx<'_>) -> Answer<Vec<WeightedSet>> {
    let place = route53::place(ctx)?;
    let all = ctx.world.dns.weighted(&aws::settings(ctx), &place.zone, &place.name, &place.kind).await?;
    let names = given::record(ctx.with, "to").ok_or_else(|| Fault::refused("`to` is not given"))?;
    if let Some(missing) = names.keys().find(|name| !all.iter().any(|set| set.id == **name)) {
        let there: Vec<&str> = all.iter().map(|set| set.id.as_str()).collect();
        let there = if there.is_empty() { "there is none".to_owned() } else { format!("there are {}", words::code(&there.join(", "))) };
        return Err(Fault::refused(format!("{} {} has no set {}: {there}", place.kind, place.name, words::code(missing))));
    }
    Ok(all.into_iter().filter(|set| names.contains_key(&set.id)).collect())
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let sets = read(ctx).await?;
    for set in &sets {
        wanted(ctx, &set.id)?;
    }
    Ok(json!({ "sets": sets }))
}

fn outputs(way: &Way) -> Outputs {
    let new: Vec<WeightedSet> = way.old.iter().zip(&way.to).map(|(set, to)| WeightedSet { weight: *to, ..set.clone() }).collect();
    let text = |sets: &[WeightedSet]| json!(sets.iter().map(|set| format!("{}: {}", set.id, set.weight)).collect::<Vec<_>>().join(", "));
    [("old".to_owned(), text(&way.old)), ("new".to_owned(), text(&new))].into_iter().collect()
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (way, now) = (Way::of(ctx, before)?, read(ctx).await?);
    Ok(match way.gone(&now) {
        Some(100) => Probe::There(outputs(&way)),
        Some(0) => Probe::NotThere,
        Some(percent) => Probe::CannotTell(format!("{percent} % of the way are gone: the weights are {}", shown(&now))),
        None => Probe::Other(way.foreign(&now)),
    })
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let (way, now) = (Way::of(ctx, before)?, read(ctx).await?);
    let line = |(set, to): (&WeightedSet, &u64)| Change {
        what: format!("weight of {} {} {}", set.set.kind, set.set.name, set.id),
        old: set.weight.to_string(),
        new: to.to_string(),
    };
    Ok(now.iter().zip(&way.to).filter(|(set, to)| set.weight != **to).map(line).collect())
}

/// Sets weights, all in one batch that fails if anybody changed one of the sets since it was read.
async fn weigh(ctx: &Ctx<'_>, now: &[WeightedSet], weights: &[u64]) -> Answer<()> {
    let changed = now.iter().zip(weights).filter(|(set, weight)| set.weight != **weight);
    let changes: Vec<DnsChange> = changed
        .flat_map(|(set, weight)| {
            [DnsChange::DeleteWeighted(set.clone()), DnsChange::CreateWeighted(WeightedSet { weight: *weight, ..set.clone() })]
        })
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    let change = route53::send(ctx, &changes).await?;
    route53::in_sync(ctx, &change).await
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let way = Way::of(ctx, before)?;
    let every = Duration::from_millis(given::duration_ms(ctx.with, "every")?.unwrap_or(EVERY_MS));
    let mut first = true;
    loop {
        let now = read(ctx).await?;
        let Some(gone) = way.gone(&now) else { return Err(Fault::refused(way.foreign(&now))) };
        let Some(next) = way.paces.iter().copied().find(|pace| *pace > gone) else { return Ok(outputs(&way)) };
        if !first {
            ctx.world.clock.sleep(every).await;
        }
        first = false;
        if let Err(miss) = holds(ctx).await {
            return Err(go_back(ctx, &way, gone, &miss).await);
        }
        // What was read before the pause may be old: the look that counts is the one right before the change.
        let now = read(ctx).await?;
        if way.gone(&now) != Some(gone) {
            return Err(Fault::refused(way.foreign(&now)));
        }
        weigh(ctx, &now, &way.at(next)).await?;
    }
}

async fn holds(ctx: &Ctx<'_>) -> Answer<()> {
    let Some((action, with)) = guard(ctx.with) else { return Ok(()) };
    let look = Ctx { with: &with, begin_by: None, ..*ctx };
    (action.apply)(&look, &Value::Null).await.map(drop)
}

/// The guard does not hold: the weights go back to what they were, and the step has failed.
async fn go_back(ctx: &Ctx<'_>, way: &Way, gone: u64, miss: &Fault) -> Fault {
    if gone == 0 {
        return Fault::refused(format!("the guard does not hold, and nothing was shifted: {miss}"));
    }
    let back = async {
        let now = read(ctx).await?;
        if way.gone(&now).is_none() {
            return Err(Fault::refused(way.foreign(&now)));
        }
        weigh(ctx, &now, &way.at(0)).await
    };
    match back.await {
        Ok(()) => {
            Fault::refused(format!("the guard does not hold after {gone} % of the way, and the weights are back as they were: {miss}"))
        }
        Err(fault) => {
            Fault::lost(format!("the guard does not hold after {gone} % of the way ({miss}), and the weights did not go back: {fault}"))
        }
    }
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (way, now) = (Way::of(ctx, before)?, read(ctx).await?);
    match way.gone(&now) {
        None => Ok(Probe::Other(way.foreign(&now))),
        Some(_) => weigh(ctx, &now, &way.at(0)).await.map(|()| Probe::NotThere),
    }
}
