//! Text to plan and findings: every stage, in order, on one screen. It reads files through a [`Loader`] and touches
//! nothing else.

mod gather;

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::analysis::levels::Levels;
use crate::analysis::rehearsal::Rehearsal;
use crate::analysis::states::{Explored, STATES, Wanted};
use crate::analysis::{self, Checked};
use crate::diagnostic::{Diagnostic, Level, nearest};
use crate::model::lower::{Given, Lowered, described, lower};
use crate::model::{Compiled, Drill, EmbeddedFile, Id, Mode, Places, Plan, Scenario, drilled, each, joined, nested, raw, veil};
use crate::source::{SourceId, Sources, Span};
use crate::{graph, syntax};

/// Steps that run at once unless told otherwise.
pub const PARALLEL: u32 = 16;
/// Files up to this size are carried in the compiled plan.
pub const EMBED_BYTES: usize = 1 << 20;

/// Bytes of what a finding says; a name of a megabyte is none.
const LONGEST_WORDS: usize = 1_000;
/// Files that one plan may be made of.
pub const FILES: usize = 1_000;

/// The text of the plan itself.
pub const PLAN: SourceId = SourceId(0);
/// The words of the command line, as a text in which findings have a place.
pub const COMMAND_LINE: SourceId = SourceId(1);

/// Where texts and files come from.
pub trait Loader {
    /// The bytes of the plan at a path as the person typed it; of one that is too large a few more than a plan may have.
    /// The error says in words why not.
    fn plan(&self, path: &str) -> Result<Vec<u8>, String>;
    /// The bytes of a file of the plan's directory; none if there is none.
    fn file(&self, plan: &str, relative: &str) -> Option<Vec<u8>>;
    /// Whether a path that a plan includes lies where plans may read: in the plan's Git work tree, else in its directory.
    fn inside(&self, plan: &str, path: &str) -> bool;
}

/// Texts by path, for tests and embedded plans; files stand beside them under their relative path.
impl<T: AsRef<[u8]>> Loader for BTreeMap<String, T> {
    fn plan(&self, path: &str) -> Result<Vec<u8>, String> {
        self.get(path).map(|text| text.as_ref().to_vec()).ok_or_else(|| "no such file".to_owned())
    }

    fn file(&self, _plan: &str, relative: &str) -> Option<Vec<u8>> {
        self.get(relative).map(|text| text.as_ref().to_vec())
    }

    fn inside(&self, _plan: &str, path: &str) -> bool {
        !path.starts_with("..")
    }
}

/// What stands beside the plan's text.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Parameters as typed.
    pub params: BTreeMap<String, String>,
    /// The one scenario to compile; none: all of them.
    pub scenario: Option<Id>,
    /// Its mode; none: the scenario's own.
    pub mode: Option<Mode>,
    /// Steps to leave out.
    pub skip: Vec<Id>,
    /// If not empty: every other step is left out.
    pub only: Vec<Id>,
    /// How many steps may run at once; none: [`PARALLEL`].
    pub parallel: Option<u32>,
    /// The drill to compile: its scenario, in mode `drill`, with what differs there.
    pub drill: Option<Id>,
    /// States of each scenario that are looked at one by one; none: [`STATES`].
    pub states: Option<u64>,
    /// The day, for what is allowed until some day; none: nothing is over.
    pub today: Option<jiff::civil::Date>,
}

/// What a plan became: always both, a plan as far as it can be understood and all that is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Compilation {
    /// The texts that findings point into.
    pub sources: Sources,
    /// What its scenarios share, without what is broken in it; none if the text cannot be read at all.
    pub plan: Option<Arc<Plan>>,
    /// How many scenarios it has.
    pub scenarios: usize,
    /// Where its words stand.
    pub places: Places,
    /// What is wrong, by place.
    pub findings: Vec<Diagnostic>,
    /// The scenarios that passed, as they are written.
    pub checked: Vec<Checked>,
    /// Its drills, by name.
    pub drills: Vec<Drill>,
    /// Scenarios that were ordered, and refused: to be looked at, never to be run.
    pub refused: Vec<Compiled>,
    /// What was explored of each scenario that could be ordered, refused or not.
    pub explored: BTreeMap<Id, Explored>,
}

impl Compilation {
    /// The scenario of a name, if it passed.
    pub fn scenario(&self, id: &str) -> Option<&Checked> {
        self.checked.iter().find(|c| c.compiled().scenario.id == id)
    }

    /// True if nothing refuses the plan.
    pub fn passed(&self) -> bool {
        self.plan.is_some() && self.findings.iter().all(|f| f.level != Level::Deny)
    }
}

/// Compiles a plan. The error says why its text could not be had.
pub fn compile(loader: &dyn Loader, path: &str, input: &Input) -> Result<Compilation, String> {
    let mut all = stages(loader, path, input)?;
    shorten(&mut all.findings);
    veil::secrets(&mut all.sources, &mut all.findings);
    Ok(all)
}

/// Of more findings than anybody reads the first are kept, and the rest counted.
fn shorten(findings: &mut Vec<Diagnostic>) {
    for found in findings.iter_mut() {
        let texts = found.labels.iter_mut().map(|l| &mut l.text).chain([&mut found.headline]).chain(&mut found.help);
        for text in texts.filter(|text| text.len() > LONGEST_WORDS) {
            text.truncate(text.floor_char_boundary(LONGEST_WORDS));
            text.push('…');
        }
    }
    let Some(rest) = findings.get(syntax::MAX_FINDINGS..).filter(|rest| !rest.is_empty()) else { return };
    let (more, at) = (rest.len(), rest[0].span());
    let level = rest.iter().map(|f| f.level).min().unwrap_or(Level::Deny);
    findings.truncate(syntax::MAX_FINDINGS);
    let found = Diagnostic::new("too-large", level, format!("{more} more findings are not listed"), at, "from here on");
    findings.push(found.help("repair those above first"));
}

/// Every stage.
fn stages(loader: &dyn Loader, path: &str, input: &Input) -> Result<Compilation, String> {
    let mut sources = Sources::default();
    let mut findings = Vec::new();
    let readable = gather::add(&mut sources, path, loader.plan(path)?, &mut findings);
    let mut line = CommandLine::default();
    let given: Given = input.params.iter().map(|(k, v)| (k.clone(), (v.clone(), line.word(&format!("-p {k}={v}"))))).collect();
    let scenario_at = input.scenario.as_ref().map(|s| line.word(&format!("-s {s}")));
    let left_at: Vec<Span> = input.skip.iter().map(|s| line.word(&format!("--skip {s}"))).collect();
    let only_at: Vec<Span> = input.only.iter().map(|s| line.word(&format!("--only {s}"))).collect();
    let drill_at = input.drill.as_ref().map(|d| line.word(&format!("--drill {d}")));
    sources.add("command line", line.text);
    if readable.is_none() {
        return Ok(Compilation { sources, findings, ..Compilation::default() });
    }
    let texts = gather::gather(loader, path, &mut sources, &mut findings);
    if !findings.is_empty() {
        // What a missing file declares would be missing everywhere.
        return Ok(Compilation { sources, findings, ..Compilation::default() });
    }
    let file = |file: &str| loader.file(path, file);
    let Some(Read { usual, drilled, templates, callers }) = read(&file, &texts, &sources, &given, input, &mut findings) else {
        return Ok(Compilation { sources, findings, ..Compilation::default() });
    };
    let levels = Levels::read(&usual.plan, &usual.places, &sources, input.today, &mut findings);
    let sound = !usual.broken && !usual.broken_scenarios.contains(&true);
    if sound {
        drilled.iter().for_each(|(drill, lowered)| rehearse(drill, &usual, lowered, &mut findings));
    }
    if let (Some(id), Some(at)) = (&input.drill, drill_at)
        && !usual.drills.iter().any(|d| d.id == *id)
    {
        findings.push(unknown("drill", id, at, usual.drills.iter().map(|d| d.id.as_str())));
    }
    // What is compiled for a drill is the drill's own plan.
    let main = drilled.into_iter().find(|(id, _)| input.drill.as_ref() == Some(id)).map_or(usual, |(_, lowered)| lowered);
    let Lowered { plan, scenarios, places, mut broken, broken_scenarios, drills } = main;
    let drill = drills.iter().find(|d| input.drill.as_ref() == Some(&d.id));
    let plan = Arc::new(plan);
    let count = scenarios.len();
    if !broken {
        let before = findings.len();
        analysis::judge(&plan, &scenarios, &drills, &places, &mut findings);
        levels.apply(&mut findings[before..]);
        broken = findings[before..].iter().any(|f| f.level == Level::Deny);
    }
    let circles = graph::cycle::asset_cycles(&plan, &places);
    let circled = !circles.is_empty();
    findings.extend(circles);
    let mut checked = Vec::new();
    let mut refused = Vec::new();
    let mut explored = BTreeMap::new();
    let ends = analysis::states::ends(&scenarios);
    let explore = Wanted { states: input.states.unwrap_or(STATES), ends: &ends };
    let wanted = |s: &Scenario| input.scenario.as_ref().or(drill.map(|d| &d.scenario)).is_none_or(|id| *id == s.id);
    if let (Some(id), Some(at)) = (&input.scenario, scenario_at)
        && !scenarios.iter().any(|s| s.id == *id)
    {
        findings.push(unknown("scenario", id, at, scenarios.iter().map(|s| s.id.as_str())));
    }
    for (index, (scenario, broken_here)) in scenarios.into_iter().zip(broken_scenarios).enumerate() {
        if !wanted(&scenario) {
            continue;
        }
        let here = callers.get(&scenario.id);
        if input.scenario.is_some() || drill.is_some() {
            for (name, at) in input.skip.iter().zip(&left_at).chain(input.only.iter().zip(&only_at)) {
                if !scenario.steps.iter().any(|s| names(name, &s.id, here)) {
                    findings.push(unknown("step", name, *at, scenario.steps.iter().map(|s| s.id.as_str())));
                }
            }
        }
        let order = graph::order::order(&plan, &scenario, index, &places);
        let step_at = |i: usize| places.scenarios[index].steps[i].keys.at;
        let placed = || graph::order::order_with_places(&plan, &scenario, index, &places);
        // Steps of assets that stand on each other wait for each other too: that was said once.
        let cycles = if circled { Vec::new() } else { graph::cycle::cycles(&scenario, &order, &placed, &step_at) };
        let sound = cycles.is_empty() && !circled && !broken && !broken_here;
        findings.extend(cycles);
        if !sound {
            continue;
        }
        let (files, missing) = files(loader, path, &scenario, &places.scenarios[index]);
        findings.extend(missing);
        let mode = if drill.is_some() { Mode::Drill } else { input.mode.unwrap_or_else(|| scenario.default_mode()) };
        let left_out = left_out(&scenario, input, drill, here);
        let compiled = Compiled {
            format: 1,
            plan: Arc::clone(&plan),
            scenario,
            mode,
            parallel: input.parallel.unwrap_or(PARALLEL).max(1),
            left_out,
            waits: order.waits,
            joins: order.joins,
            files,
            predictions: BTreeMap::new(),
            predicted_ms: 0,
            point_of_no_return: None,
        };
        let id = compiled.scenario.id.clone();
        let (found, way) = analysis::analyse(compiled, &places, index, &levels, explore, &mut findings);
        match found {
            Ok(passed) => checked.push(passed),
            Err(compiled) => refused.push(compiled),
        }
        explored.extend(way.map(|way| (id, way)));
    }
    findings.sort_by(|a, b| (a.span(), a.rule, &a.headline).cmp(&(b.span(), b.rule, &b.headline)));
    findings.dedup();
    once_a_template(&templates, &mut findings);
    levels.apply(&mut findings);
    if sound && input.scenario.is_none() && input.drill.is_none() {
        levels.unused(&mut findings);
    }
    Ok(Compilation { sources, plan: Some(plan), scenarios: count, places, findings, checked, drills, refused, explored })
}

/// What texts became.
struct Read {
    /// The plan as it is in an incident.
    usual: Lowered,
    /// The same with what differs in each drill.
    drilled: Vec<(Id, Lowered)>,
    /// Where `for_each` stands, and steps that are joined in from elsewhere.
    templates: Vec<Span>,
    /// What became of steps that call scenarios.
    callers: nested::Callers,
}

/// Texts to trees to one tree to a plan, and to the same plan in each drill that is asked for; the trees are forgotten.
/// None if one of the texts cannot be read at all.
fn read(
    file: &dyn Fn(&str) -> Option<Vec<u8>>,
    texts: &gather::Gathered,
    sources: &Sources,
    given: &Given,
    input: &Input,
    findings: &mut Vec<Diagnostic>,
) -> Option<Read> {
    let arena = syntax::Arena::default();
    let files = texts.files.iter();
    let trees: Vec<_> = files.map(|(role, id)| Some((*role, syntax::read(&arena, *id, &sources.get(*id).text, findings)?))).collect();
    let trees: Vec<_> = trees.into_iter().collect::<Option<_>>()?;
    let ((_, root), parts) = trees.split_first()?;
    raw::find(&trees, &texts.files, sources, findings);
    let root = joined::join(&arena, root, parts, findings);
    let tree = |id: &SourceId| texts.files.iter().position(|(_, file)| file == id).map(|i| trees[i].1);
    let called = texts.called.groups.iter().filter_map(|(id, group)| {
        let files: Vec<_> = group.iter().filter_map(tree).collect();
        Some((*id, joined::scenarios(&arena, &files, findings)?))
    });
    let called = called.collect();
    let dir = |id: SourceId| sources.get(id).name.rsplit_once('/').map_or("", |(dir, _)| dir);
    let alone = |id: &SourceId| dir(*id) != dir(PLAN) && tree(id).is_some_and(|tree| tree.get("name").is_some());
    let elsewhere = texts.called.groups.iter().filter(|(id, _)| alone(id)).flat_map(|(_, group)| group.iter().copied()).collect();
    let nested = nested::join(&arena, sources, &root, &nested::Called { elsewhere, ..texts.called.clone() }, &called, findings);
    let mut expanded = each::expand(&arena, sources, &nested.root, findings);
    expanded.templates.extend(nested.joined);
    expanded.templates.sort_unstable();
    expanded.templates.dedup();
    let executables = described(file, &expanded.root);
    let usual = lower(&expanded.root, sources, given, &executables, findings);
    let mut drilled = Vec::new();
    let sound = !findings.iter().any(|f| f.level == Level::Deny);
    let wanted = |d: &&Drill| sound && input.drill.as_ref().map_or(input.scenario.is_none(), |id| *id == d.id);
    for drill in usual.drills.iter().filter(wanted) {
        let (root, own) = drilled::drilled(&arena, &expanded.root, &drill.id);
        // What is typed counts more than the plan, where the drill itself is asked for.
        let both = if input.drill.is_some() { [&own, given] } else { [given, &own] };
        let given: Given = both.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut found = Vec::new();
        let lowered = lower(&root, sources, &given, &executables, &mut found);
        // What is wrong in any case was said.
        found.retain(|f| !findings.contains(f));
        findings.extend(found);
        drilled.push((drill.id.clone(), lowered));
    }
    Some(Read { usual, drilled, templates: expanded.templates, callers: nested.callers })
}

/// Judges a drill beside the scenario that it rehearses.
fn rehearse(id: &str, usual: &Lowered, drilled: &Lowered, findings: &mut Vec<Diagnostic>) {
    let here = |l: &Lowered, scenario: &str| l.scenarios.iter().position(|s| s.id == scenario);
    let Some(drill) = usual.drills.iter().find(|d| d.id == id) else { return };
    let (Some(there), Some(here)) = (here(usual, &drill.scenario), here(drilled, &drill.scenario)) else { return };
    let Some(at) = usual.places.drills.get(id) else { return };
    let rehearsal = Rehearsal {
        drill,
        at,
        plan: &usual.plan,
        scenario: &usual.scenarios[there],
        own: &usual.places.scenarios[there],
        drilled: &drilled.plan,
        rehearsed: &drilled.scenarios[here],
    };
    analysis::judge_drill(&rehearsal, findings);
}

/// A mistake in a template is one mistake, however long its list is.
fn once_a_template(templates: &[Span], findings: &mut Vec<Diagnostic>) {
    let within = |at: Span| {
        let before = templates.partition_point(|t| (t.source, t.start) <= (at.source, at.start));
        before.checked_sub(1).is_some_and(|i| templates[i].source == at.source && at.end <= templates[i].end)
    };
    let mut said = std::collections::BTreeSet::new();
    findings.retain(|found| !within(found.span()) || said.insert((found.rule, found.span())));
}

/// The words of the command line as a text, so that findings about them have a place.
#[derive(Default)]
struct CommandLine {
    text: String,
}

impl CommandLine {
    fn word(&mut self, word: &str) -> Span {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let start = self.text.len() as u32;
        self.text.push_str(word);
        Span { source: COMMAND_LINE, start, end: self.text.len() as u32 }
    }
}

/// What became of the steps of a scenario that call others.
type Callers = BTreeMap<Id, std::collections::BTreeSet<Id>>;

/// Whether a name stands for a step: its own, that of the template that it was made of, or that of the call by which it came.
fn names(name: &str, step: &str, callers: Option<&Callers>) -> bool {
    let base = each::address(step).0;
    let by_call = || callers.and_then(|c| c.get(name)).is_some_and(|all| all.contains(step) || all.contains(base));
    name == step || base == name || by_call()
}

fn left_out(scenario: &Scenario, input: &Input, drill: Option<&Drill>, callers: Option<&Callers>) -> Vec<Id> {
    let mut out = drill.map_or_else(Vec::new, |d| analysis::rehearsal::left_out(d, scenario).into_iter().map(str::to_owned).collect());
    if input.scenario.is_none() && drill.is_none() {
        return out;
    }
    let any = |said: &[Id], id: &Id| said.iter().any(|name| names(name, id, callers));
    let typed = |id: &Id| any(&input.skip, id) || !input.only.is_empty() && !any(&input.only, id);
    let said = scenario.steps.iter().map(|s| &s.id).filter(|id| typed(id)).cloned();
    let said: Vec<Id> = said.filter(|id| !out.contains(id)).collect();
    out.extend(said);
    out
}

fn unknown<'n>(what: &str, name: &str, at: Span, known: impl Iterator<Item = &'n str>) -> Diagnostic {
    let known: Vec<&str> = known.collect();
    let found = Diagnostic::deny("unknown-name", format!("no {what} `{name}`"), at, format!("not a {what} of this plan"));
    match nearest(name, known.iter().copied()) {
        Some(near) => found.help(format!("write `{near}`")),
        None => found.help(format!("the plan has {}", crate::model::scope::list(&known))),
    }
}

/// Files of the plan's directory that steps use.
fn files(
    loader: &dyn Loader,
    plan: &str,
    scenario: &Scenario,
    places: &crate::model::places::ScenarioPlaces,
) -> (Vec<EmbeddedFile>, Vec<Diagnostic>) {
    let mut all: BTreeMap<String, EmbeddedFile> = BTreeMap::new();
    let mut missing = Vec::new();
    for (i, step) in scenario.steps.iter().enumerate() {
        let undo = match &step.undo {
            crate::model::Undo::Use(call) => Some(call),
            _ => None,
        };
        let calls = std::iter::once(&step.call).chain(&step.check).chain(undo);
        for (call, file) in calls.flat_map(|call| crate::model::changes::files_of(call).into_iter().map(move |file| (call, file))) {
            if all.contains_key(file) {
                continue;
            }
            match loader.file(plan, file) {
                Some(content) => {
                    let sha256 = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
                    let content = (content.len() <= EMBED_BYTES).then_some(content);
                    all.insert(file.to_owned(), EmbeddedFile { path: file.to_owned(), sha256, content });
                }
                None => {
                    let at = places.steps[i].keys.value("with");
                    let (why, help) = match call.uses.as_str() {
                        "kubernetes.apply" | "kubernetes.job" => ("this step uses it", "put the file there"),
                        _ => ("this step starts it", "put the file there, or give the path of an installed program"),
                    };
                    let found = Diagnostic::warn("missing-file", format!("`./{file}` is not beside the plan"), at, why);
                    missing.push(found.help(help));
                }
            }
        }
    }
    (all.into_values().collect(), missing)
}
