//! What is unwise in a plan that can be understood, and the only maker of [`Checked`]. It does not run anything.

pub mod gaps;

use sha2::{Digest, Sha256};

use crate::diagnostic::{Diagnostic, Level};
use crate::graph::Graph;
use crate::model::{Compiled, Places, Plan};

/// A plan that passed: the only thing that can be rendered or run.
#[derive(Debug, Clone)]
pub struct Checked {
    compiled: Compiled,
    graph: Graph,
    digest: String,
    evidence: String,
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
        &self.digest
    }

    /// SHA-256 of the canonical bytes without texts for people: what evidence is bound to.
    pub fn evidence_digest(&self) -> &str {
        &self.evidence
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

    fn new(compiled: Compiled) -> Result<Checked, String> {
        let graph = Graph::of(&compiled).ok_or("the compiled plan's order has a cycle or an edge to nowhere")?;
        let digest = sha256(canonical(&compiled).as_bytes());
        let evidence = sha256(canonical(&without_texts(&compiled)).as_bytes());
        Ok(Checked { compiled, graph, digest, evidence })
    }
}

/// Judges an ordered plan: what was predicted is written into it, what is unwise is a finding. None if it is refused.
pub fn analyse(compiled: Compiled, plan: &Plan, places: &Places, index: usize, findings: &mut Vec<Diagnostic>) -> Option<Checked> {
    let _ = (plan, places, index);
    let before = findings.len();
    let refused = findings[before..].iter().any(|f| f.level == Level::Deny);
    if refused { None } else { Checked::new(compiled).ok() }
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
    bare.plan.title = None;
    bare.plan.contacts.values_mut().for_each(|c| *c = Default::default());
    bare.plan.sites.values_mut().for_each(|s| s.title = None);
    bare.plan.assets.values_mut().for_each(|a| a.title = None);
    bare.plan.params.values_mut().for_each(|p| p.title = None);
    bare.scenario.title = None;
    bare.scenario.symptoms.clear();
    bare.scenario.steps.iter_mut().for_each(|s| s.title = None);
    bare
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
