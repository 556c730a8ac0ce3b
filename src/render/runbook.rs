//! The runbook: the page from which a person recovers by hand, in Markdown. The words come from `view`, the shape from
//! the templates; this file only joins them, and makes sure that no text of a plan leaves its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderErrorReason};
use serde::Serialize;

use super::escape;
use super::ticked::{Progress, Runbook, Said};
use super::{copies, mermaid, view};
use crate::actions::units::duration_text;
use crate::actions::{Effect, Manual, shell};
use crate::analysis::Checked;
use crate::graph::schedule::{self, Schedule};
use crate::model::losses::{damages, lost_assets};
use crate::model::{Compiled, Step, Undo};

/// The runbook of a checked plan, as Markdown.
pub fn render(checked: &Checked) -> String {
    Runbook::of(checked).text(checked, &Progress::default())
}

pub(super) static TEMPLATES: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    templates.register_escape_fn(escape::prose);
    templates.register_helper("cell", Box::new(cell));
    for (name, text) in [
        ("runbook", include_str!("templates/runbook.md.hbs")),
        ("step", include_str!("templates/step.md.hbs")),
        ("block", include_str!("templates/block.md.hbs")),
    ] {
        templates.register_partial(name, text).expect("a compiled-in template parses");
    }
    templates
});

/// `{{cell x}}`: a text in a table.
fn cell(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: &mut dyn Output) -> HelperResult {
    let value = h.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("cell", 0))?.value();
    out.write(&escape::cell(&crate::actions::template::plain(value)))?;
    Ok(())
}

/// Everything on the page above its steps, in its order.
#[derive(Serialize)]
pub(super) struct Page {
    /// Of a run: where it stands.
    pub(super) run: Vec<String>,
    title: String,
    plan: String,
    scenario: String,
    mode: &'static str,
    cause: &'static str,
    length: String,
    symptoms: Vec<String>,
    lost: Vec<String>,
    clock: Option<String>,
    objectives: Vec<Objective>,
    people: Vec<Person>,
    backups: Vec<copies::Copy>,
    pub(super) variables: Option<Block>,
    graph: Block,
    no_return: Option<NoReturn>,
}

#[derive(Serialize)]
struct Objective {
    asset: String,
    recovery: String,
    rto: String,
    loss: String,
    rpo: String,
    source: String,
}

#[derive(Serialize)]
struct Person {
    name: String,
    role: String,
    reach: String,
}

#[derive(Serialize)]
struct NoReturn {
    number: usize,
    title: String,
    reason: String,
}

/// Outputs that steps use, by the step that gives them.
pub(super) type Used = BTreeMap<String, BTreeSet<String>>;

/// One step of the page.
#[derive(Serialize)]
pub(super) struct StepView {
    number: usize,
    id: String,
    pub(super) ticked: bool,
    pub(super) said: Vec<Said>,
    pub(super) found: Option<Block>,
    title: String,
    sentence: Option<String>,
    asked: Option<String>,
    instruction: Option<String>,
    phase: &'static str,
    place: Option<String>,
    contact: Option<String>,
    assets: Option<String>,
    pass_over: Option<String>,
    no_return: bool,
    after: Option<String>,
    conditions: Vec<String>,
    repeat: Option<&'static str>,
    unreachable: Option<&'static str>,
    failed: Option<&'static str>,
    tries: Option<String>,
    blocks: Vec<Block>,
    seen: Option<String>,
    check: Vec<Block>,
    has_check: bool,
    check_seen: Option<String>,
    notes: Vec<Note>,
    undoable: bool,
    undo: Option<String>,
    undo_blocks: Vec<Block>,
    begins: String,
    takes: String,
    worst: Option<String>,
}

impl StepView {
    /// What is known needs not be noted.
    pub(super) fn notes_known(&mut self, known: &BTreeMap<String, String>) {
        self.notes.retain(|note| !known.contains_key(&note.name));
    }
}

/// Commands in a fence.
#[derive(Serialize)]
pub(super) struct Block {
    what: String,
    fence: String,
    info: &'static str,
    script: String,
    expect: Option<String>,
}

/// An output that later steps use.
#[derive(Serialize)]
struct Note {
    name: String,
    what: String,
    set: bool,
}

pub(super) fn page(checked: &Checked, numbers: &[usize], expected: &Schedule) -> Page {
    let compiled = checked.compiled();
    let scenario = &compiled.scenario;
    Page {
        run: Vec::new(),
        title: scenario.title.clone().unwrap_or_else(|| format!("{}: {}", compiled.plan.name, scenario.id)),
        plan: compiled.plan.title.clone().unwrap_or_else(|| compiled.plan.name.clone()),
        scenario: scenario.id.clone(),
        mode: compiled.mode.into(),
        cause: view::cause_words(scenario.cause),
        length: duration_text(expected.total_ms),
        symptoms: scenario.symptoms.clone(),
        lost: lost(compiled),
        clock: clock(compiled),
        objectives: objectives(compiled),
        people: people(compiled, numbers),
        backups: copies::of(compiled),
        variables: variables(compiled, &BTreeMap::new()),
        graph: block("", "mermaid", &mermaid::render(checked, false), ""),
        no_return: no_return(compiled, numbers),
    }
}

pub(super) fn step_view(compiled: &Compiled, used: &Used, numbers: &[usize], index: usize, begins_ms: u64) -> StepView {
    let step = &compiled.scenario.steps[index];
    let instruction = view::instruction(step);
    let waits = view::waits(compiled, numbers, index);
    let looks = step.effect == Effect::Read;
    let mut blocks = blocks(&view::commands(compiled, step, &step.call), if looks { "sh look" } else { "sh" });
    if instruction.is_some() && !step.call.with.contains_key("record") {
        // A command that only prints what stands above it is no command; one that notes an answer is.
        blocks.clear();
    }
    let check: Vec<Block> = step.check.iter().flat_map(|c| self::blocks(&view::commands(compiled, step, c), "sh look")).collect();
    let seen = view::seen(compiled, step, &step.call);
    let undo = view::undo_words(compiled, step);
    let undo_blocks = self::blocks(&view::undo_commands(compiled, step), "sh undo");
    let worst = schedule::worst_ms(step).filter(|w| *w > step.takes_ms);
    StepView {
        number: numbers[index],
        id: step.id.clone(),
        ticked: false,
        said: Vec::new(),
        found: None,
        title: view::title(compiled, step),
        sentence: step
            .title
            .as_ref()
            .filter(|_| instruction.is_none())
            .map(|_| view::sentence(compiled, step))
            .filter(|s| !shown(s, &blocks)),
        asked: view::asked(compiled, step),
        instruction,
        phase: step.phase.into(),
        place: step.at.as_ref().map(|at| view::site(compiled, at)),
        contact: step.contact.as_ref().map(|c| view::contact(compiled, c)),
        assets: (!step.assets.is_empty()).then(|| listed(&step.assets)),
        pass_over: view::left_out(compiled, step),
        no_return: compiled.point_of_no_return.as_ref() == Some(&step.id),
        after: (!waits.is_empty()).then(|| waits.join("; ")),
        conditions: view::conditions(compiled, numbers, step),
        repeat: view::repeat(step.effect),
        unreachable: view::unreachable(step),
        failed: view::failed(step),
        tries: view::tries(&step.retry),
        notes: notes(used, step, &blocks),
        // Where each block says what it must show, the whole is said.
        seen: (!seen.is_empty() && blocks.iter().all(|b| b.expect.is_none())).then_some(seen),
        blocks,
        has_check: step.check.is_some(),
        check_seen: step.check.as_ref().filter(|_| check.iter().all(|b| b.expect.is_none())).map(|c| view::seen(compiled, step, c)),
        check,
        undoable: undo.is_some(),
        undo: undo.filter(|s| !shown(s, &undo_blocks)).map(|s| stopped(&s)),
        undo_blocks,
        begins: duration_text(begins_ms),
        takes: duration_text(step.takes_ms),
        worst: worst.map(duration_text),
    }
}

/// Blocks of commands; those that only look are marked so, unless they all carry another mark.
fn blocks(all: &[Manual], info: &'static str) -> Vec<Block> {
    let mark = |m: &Manual| if info == "sh" && !m.changes { "sh look" } else { info };
    // What a single block does is what the step does, and has been said.
    let what = |m: &Manual| if all.len() == 1 { String::new() } else { m.what.clone() };
    all.iter().map(|m| block(&what(m), mark(m), &m.script, &m.expect)).collect()
}

/// Whether a sentence only repeats what stands in a block.
fn shown(sentence: &str, blocks: &[Block]) -> bool {
    blocks.iter().any(|b| !b.script.contains('\n') && sentence.contains(b.script.trim()))
}

pub(super) fn block(what: &str, info: &'static str, script: &str, expect: &str) -> Block {
    let script = escape::block(script);
    Block { what: what.to_owned(), fence: escape::fence(&script), info, script, expect: (!expect.is_empty()).then(|| expect.to_owned()) }
}

fn notes(used: &Used, step: &Step, blocks: &[Block]) -> Vec<Note> {
    let set = |name: &str| blocks.iter().any(|b| b.script.contains(&format!("{name}=")));
    view::noted(used, step).into_iter().map(|v| Note { set: set(&v.name), name: v.name, what: v.what }).collect()
}

/// What a person sets first; what is known of a run, by the variable's name, stands there as it is.
pub(super) fn variables(compiled: &Compiled, known: &BTreeMap<String, String>) -> Option<Block> {
    let lines: Vec<String> = view::variables(compiled)
        .into_iter()
        .map(|v| {
            let value = known.get(&v.name).map(|value| shell::literal(value)).or(v.value);
            format!("# {}\nexport {}={}", escape::line(&v.what), v.name, value.as_deref().unwrap_or("…"))
        })
        .collect();
    (!lines.is_empty()).then(|| block("", "sh set", &lines.join("\n"), ""))
}

fn lost(compiled: &Compiled) -> Vec<String> {
    let (plan, scenario) = (&compiled.plan, &compiled.scenario);
    let damaged = if damages(scenario) { " is damaged" } else { "" };
    let asset = |id: String| {
        let title = plan.assets.get(&id).and_then(|a| a.title.as_ref()).map(|t| format!(", {t}")).unwrap_or_default();
        let left = if scenario.leaves.contains(&id) { "; it is not brought back here" } else { "" };
        format!("`{id}`{title}{damaged}{left}")
    };
    let sites = scenario.loses.sites.iter().map(|s| format!("everything at {}", view::site(compiled, s)));
    let backups = scenario.loses.backups.iter().map(|b| format!("the backup `{b}`"));
    sites.chain(lost_assets(plan, scenario).into_iter().map(asset)).chain(backups).collect()
}

/// How the predictions count: from when, and what is assumed before the first step.
fn clock(compiled: &Compiled) -> Option<String> {
    let scenario = &compiled.scenario;
    let (detect, decide) = (scenario.detect_ms, scenario.decide_ms);
    (detect + decide > 0).then(|| {
        let decide = if decide > 0 { format!(" and {} until it is decided to begin", duration_text(decide)) } else { String::new() };
        format!("Times count from the damage: {} until somebody is called{decide} are in them.", duration_text(detect))
    })
}

fn objectives(compiled: &Compiled) -> Vec<Objective> {
    let time = |ms: Option<u64>, none: &str| ms.map_or_else(|| none.to_owned(), duration_text);
    let against = |predicted: Option<u64>, objective: Option<u64>, none: &str| match objective {
        None => "no objective".to_owned(),
        Some(limit) if predicted.is_some_and(|p| p <= limit) => format!("{}: kept", duration_text(limit)),
        Some(limit) => format!("{}: {none}", duration_text(limit)),
    };
    let row = |(asset, p): (&String, &crate::model::Prediction)| Objective {
        asset: asset.clone(),
        recovery: time(p.recovery_ms, "not brought back"),
        rto: against(p.recovery_ms, p.rto_ms, "MISSED"),
        loss: if p.holds_data { time(p.loss_ms, "unbounded") } else { "holds no data".to_owned() },
        rpo: if p.holds_data { against(p.loss_ms, p.rpo_ms, "MISSED") } else { "–".to_owned() },
        source: if p.holds_data { p.loss_source.clone() } else { "–".to_owned() },
    };
    // What is left as it is stands under what is lost.
    compiled.predictions.iter().filter(|(id, _)| !compiled.scenario.leaves.contains(id)).map(row).collect()
}

fn people(compiled: &Compiled, numbers: &[usize]) -> Vec<Person> {
    let row = |(id, roles): (String, BTreeSet<String>)| {
        let contact = compiled.plan.contacts.get(&id).cloned().unwrap_or_default();
        let reach: Vec<String> = contact.reach.into_iter().chain(contact.phone).collect();
        Person {
            name: contact.title.map_or_else(|| format!("`{id}`"), |t| format!("{t} (`{id}`)")),
            role: roles.into_iter().collect::<Vec<_>>().join("; "),
            reach: if reach.is_empty() { "–".to_owned() } else { reach.join(", ") },
        }
    };
    view::people(compiled, numbers).into_iter().map(row).collect()
}

fn no_return(compiled: &Compiled, numbers: &[usize]) -> Option<NoReturn> {
    let id = compiled.point_of_no_return.as_ref()?;
    let index = compiled.scenario.steps.iter().position(|s| s.id == *id)?;
    let step = &compiled.scenario.steps[index];
    let reason = match &step.undo {
        Undo::None(reason) => reason.clone(),
        _ => "what it replaces cannot be put back".to_owned(),
    };
    Some(NoReturn { number: numbers[index], title: view::title(compiled, step), reason })
}

/// A text that ends as a sentence does.
fn stopped(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?', ':']) { text.to_owned() } else { format!("{text}.") }
}

fn listed(ids: &[String]) -> String {
    ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A text that tries everything at once.
    const HOSTILE: &str = "a \" ' ; touch pwned\n# heading\n$(touch pwned) `touch pwned` ```\n<script>x</script> {{scenario}} \u{1b}[31m | [l](javascript:x) %%{init}%%";

    fn step(id: &str, more: Value) -> Value {
        let mut step = json!({
            "id": id, "uses": "manual", "with": { "do": HOSTILE }, "phase": "recover", "effect": "manual", "takes_ms": 60000,
            "retry": { "attempts": 1, "delay_ms": 0, "factor": 1.0, "max_delay_ms": 0 }, "undo": "unneeded",
            "modes": ["unplanned"], "on_failure": "pause", "when_unreachable": "fail"
        });
        for (k, v) in more.as_object().into_iter().flatten() {
            step[k] = v.clone();
        }
        step
    }

    fn checked() -> Checked {
        let compiled = json!({
            "format": 1,
            "plan": {
                "name": "shop", "title": HOSTILE, "owner": "sre", "params": { "zone": { "type": "string", "title": HOSTILE } },
                "secrets": { "pw": { "env": "PW" } }, "sites": { "here": { "title": HOSTILE } }, "tiers": {},
                "contacts": { "sre": { "title": HOSTILE, "reach": HOSTILE, "phone": "1" } },
                "assets": { "db": { "kind": "other", "title": HOSTILE, "sites": ["here"],
                    "connect": { "password": "${secrets.pw}", "zone": "${params.zone}" },
                    "backups": [{ "id": "nightly", "method": "full", "to": HOSTILE, "keep": { "last": 7 } }] } },
                "scenarios": []
            },
            "scenario": {
                "id": "loss", "title": HOSTILE, "symptoms": [HOSTILE], "loses": { "assets": ["db"] }, "cause": "outage",
                "detect_ms": 60000, "decide_ms": 1000,
                "steps": [
                    step("late", json!({ "title": HOSTILE, "assets": ["db"], "at": "here", "contact": "sre", "effect": "once",
                        "undo": { "none": HOSTILE }, "when": [{ "step": "early", "output": "x", "matcher": HOSTILE }] })),
                    step("early", json!({ "undo": { "use": { "uses": "manual", "with": { "do": HOSTILE } } }, "modes": ["drill"] })),
                ]
            },
            "mode": "unplanned", "parallel": 16,
            "waits": [[{ "on": { "join": 0 }, "why": HOSTILE }], []],
            "joins": [{ "what": HOSTILE, "waits": [{ "on": { "step": 1 }, "why": HOSTILE }] }],
            "predictions": { "db": { "recovery_ms": 1, "rto_ms": 1, "loss_ms": 2, "rpo_ms": 1, "holds_data": true, "loss_source": HOSTILE } },
            "predicted_ms": 120000, "point_of_no_return": "late"
        });
        Checked::from_json(&compiled.to_string()).unwrap()
    }

    /// A line without its code, which no reader obeys.
    fn without_code(line: &str) -> String {
        let mut line = line.replace("\\`", "");
        let run = |text: &str| text.chars().take_while(|c| *c == '`').count();
        while let Some(start) = line.find('`') {
            let ticks = run(&line[start..]);
            let mut end = start + ticks;
            loop {
                end += line[end..].find('`').expect("code that is opened is closed");
                let found = run(&line[end..]);
                end += found;
                if found == ticks {
                    break;
                }
            }
            line.replace_range(start..end, "");
        }
        line
    }

    #[test]
    fn a_hostile_text_stays_a_text() {
        let page = render(&checked());
        let mut fence: Option<String> = None;
        for line in page.lines() {
            match &fence {
                Some(f) if line == f.as_str() => fence = None,
                Some(_) => {}
                None if line.starts_with("```") => fence = Some(line.chars().take_while(|c| *c == '`').collect()),
                None => {
                    let line = without_code(line);
                    assert!(!line.contains("<script"), "{line}");
                    assert!(!line.starts_with("# heading"), "{line}");
                    assert!(!line.replace("\\]", "").contains("]("), "{line}");
                    assert!(!line.contains("{{"), "{line}");
                }
            }
            assert!(!line.contains('\u{1b}'), "{line}");
        }
        assert_eq!(fence, None, "a fence is left open");
        assert!(page.contains("| `db` | 1ms | 1ms: kept | 2ms | 1ms: MISSED |"), "{page}");
    }

    #[test]
    fn a_step_comes_after_what_it_waits_for_even_if_it_is_written_first() {
        let page = render(&checked());
        assert!(
            page.find("## 1. Do by hand").or(page.find("## 1. Run")).is_some() && page.find("`early`") < page.find("`late` ·"),
            "{page}"
        );
    }

    #[test]
    fn what_a_person_must_set_is_at_the_top() {
        let page = render(&checked());
        assert!(page.contains("# secret pw, found in the environment as PW\nexport SECRET_PW=\"${PW:?is not set}\""), "{page}");
        assert!(page.contains("# parameter zone, a text, a \" ' ; touch pwned # heading"), "{page}");
    }
}
