//! What is unwise in a plan that can be understood, and the only maker of [`Checked`]. It does not run anything.

pub mod chance;
pub mod estimate;
pub mod facts;
pub mod gaps;
pub mod levels;
pub mod loss;
pub mod predict;
pub mod rehearsal;
pub mod returns;
pub mod rules;
pub mod states;
pub mod stands;
pub mod what_if;
pub mod whole;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use facts::Facts;
use levels::Levels;
use rehearsal::Rehearsal;
use rules::Looks;
use sha2::{Digest, Sha256};
use states::{Explored, Wanted};
use whole::Whole;

use crate::diagnostic::{Diagnostic, Level};
use crate::graph::Graph;
use crate::model::{Asset, Compiled, Drill, Id, Places, Plan, Scenario, Secret, Step};

/// A plan that passed: the only thing that can be rendered or run.
#[derive(Debug, Clone)]
pub struct Checked {
    compiled: Compiled,
    graph: Graph,
    digest: OnceLock<String>,
    evidence: OnceLock<String>,
}

impl Checked {
    /// The plan.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// Its order.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// SHA-256 of the canonical bytes, texts too: what approvals and runs are bound to.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| sha256(canonical(&self.compiled).as_bytes()))
    }

    /// SHA-256 of the canonical bytes without texts for people: what evidence is bound to.
    pub fn evidence_digest(&self) -> &str {
        self.evidence.get_or_init(|| sha256(canonical(&without_texts(&self.compiled)).as_bytes()))
    }

    /// The canonical bytes: same plan, same bytes.
    pub fn to_json(&self) -> String {
        canonical(&self.compiled)
    }

    /// Parameters that have neither a default nor a value: `run` refuses while there is one.
    pub fn missing_params(&self) -> Vec<&str> {
        self.compiled.plan.params.iter().filter(|(_, p)| p.value.is_none()).map(|(name, _)| name.as_str()).collect()
    }

    /// A compiled plan read back. The error says what is wrong with it.
    pub fn from_json(text: &str) -> Result<Checked, String> {
        let compiled: Compiled = serde_json::from_str(text).map_err(|e| format!("not a compiled plan: {e}"))?;
        if compiled.format != 1 {
            return Err(format!("compiled plan of format {}: this program reads format 1", compiled.format));
        }
        Checked::new(compiled)
    }

    /// A compiled plan as it was kept beside its digest, whose bytes need not be made again to know that they are the same.
    pub fn read_back(text: &str, digest: &str) -> Result<Checked, String> {
        let checked = Checked::from_json(text)?;
        if sha256(text.as_bytes()) == digest {
            // Nothing is there yet.
            let _ = checked.digest.set(digest.to_owned());
        }
        Ok(checked)
    }

    /// The same plan, by the same digest, with steps of another one beside it that wait for nothing and for which nothing
    /// waits, and what they act on. The error says why they do not fit.
    pub fn beside(&self, steps: Vec<Step>, assets: BTreeMap<Id, Asset>, secrets: BTreeMap<String, Secret>) -> Result<Checked, String> {
        let mut compiled = self.compiled.clone();
        if let Some(twice) = steps.iter().find(|s| compiled.scenario.steps.iter().any(|own| own.id == s.id)) {
            return Err(format!("step `{}` stands in the plan, and beside it", twice.id));
        }
        compiled.waits.extend(steps.iter().map(|_| Vec::new()));
        compiled.scenario.steps.extend(steps);
        let plan = Arc::make_mut(&mut compiled.plan);
        for (id, asset) in assets {
            plan.assets.entry(id).or_insert(asset);
        }
        plan.assets.sort_unstable_keys();
        for (name, secret) in secrets {
            plan.secrets.entry(name).or_insert(secret);
        }
        let both = Checked::new(compiled)?;
        // What was approved and reviewed is the plan.
        Ok(Checked {
            digest: OnceLock::from(self.digest().to_owned()),
            evidence: OnceLock::from(self.evidence_digest().to_owned()),
            ..both
        })
    }

    fn new(compiled: Compiled) -> Result<Checked, String> {
        let graph = Graph::of(&compiled).ok_or("the compiled plan's order has a cycle or an edge to nowhere")?;
        Ok(Checked::with(compiled, graph))
    }

    fn with(compiled: Compiled, graph: Graph) -> Checked {
        Checked { compiled, graph, digest: OnceLock::new(), evidence: OnceLock::new() }
    }
}

/// Judges what all scenarios share, once. It wants a plan in which nothing was refused.
pub fn judge(plan: &Plan, scenarios: &[Scenario], drills: &[Drill], places: &Places, findings: &mut Vec<Diagnostic>) {
    let whole = Whole::new(plan, scenarios, drills, places);
    for rule in rules::TABLE {
        if let Looks::Plan(run) = rule.looks {
            run(&whole, findings);
        }
    }
}

/// Judges a drill beside the scenario that it rehearses.
pub fn judge_drill(drill: &Rehearsal<'_>, findings: &mut Vec<Diagnostic>) {
    for rule in rules::TABLE {
        if let Looks::Drill(run) = rule.looks {
            run(drill, findings);
        }
    }
}

/// Judges an ordered plan: what was predicted is written into it, what is unwise is a finding. One that
/// is refused comes back as it is; and what was explored of it.
pub fn analyse(
    mut compiled: Compiled,
    places: &Places,
    index: usize,
    levels: &Levels<'_>,
    wanted: Wanted<'_>,
    findings: &mut Vec<Diagnostic>,
) -> (Result<Checked, Compiled>, Option<Explored>) {
    let Some(graph) = Graph::of(&compiled) else { return (Err(compiled), None) };
    let mut facts = Facts::new(&compiled, places, index, &graph, wanted);
    let before = findings.len();
    for rule in rules::TABLE {
        if let Looks::Scenario(run) = rule.looks {
            run(&facts, findings);
        }
    }
    levels.apply(&mut findings[before..]);
    let explored = facts.take_explored();
    let (point, total) = (predict::point_of_no_return(&facts), facts.schedule.total_ms);
    compiled.predictions = facts.predictions;
    compiled.point_of_no_return = point;
    compiled.predicted_ms = total;
    let refused = findings[before..].iter().any(|f| f.level == Level::Deny);
    (if refused { Err(compiled) } else { Ok(Checked::with(compiled, graph)) }, explored)
}

fn canonical(compiled: &Compiled) -> String {
    // Through `Value`, whose maps are ordered by key.
    let value = serde_json::to_value(compiled).expect("a compiled plan has string keys and finite numbers");
    let mut text = serde_json::to_string_pretty(&value).expect("a value serialises");
    text.push('\n');
    text
}

fn without_texts(compiled: &Compiled) -> Compiled {
    let mut bare = compiled.clone();
    let plan = Arc::make_mut(&mut bare.plan);
    plan.title = None;
    plan.contacts.values_mut().for_each(|c| *c = Default::default());
    plan.sites.values_mut().for_each(|s| s.title = None);
    plan.assets.values_mut().for_each(|a| a.title = None);
    plan.params.values_mut().for_each(|p| p.title = None);
    bare.scenario.title = None;
    bare.scenario.symptoms.clear();
    bare.scenario.steps.iter_mut().for_each(|s| s.title = None);
    bare
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
