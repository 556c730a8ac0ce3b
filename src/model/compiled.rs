//! One scenario of a plan, ready to be reviewed and run: the steps, what each waits for and why, and what was
//! predicted. Its canonical JSON is what digests are taken of, and what a journal keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::plan::{Id, Mode, Plan, Scenario, Step};

/// The compiled plan of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compiled {
    /// Version of this shape: 1.
    pub format: u32,
    /// What all its scenarios share.
    pub plan: Arc<Plan>,
    /// What runs.
    pub scenario: Scenario,
    /// In which mode.
    pub mode: Mode,
    /// How many steps may run at once; the prediction and the executor use the same number.
    pub parallel: u32,
    /// Steps left out by `--skip` and `--only`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left_out: Vec<Id>,
    /// For each step of the scenario, by index, what it waits for.
    pub waits: Vec<Vec<Wait>>,
    /// Points in the plan that many steps share ("all `assess` steps"), with what each waits for.
    pub joins: Vec<Join>,
    /// Files that steps use.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<EmbeddedFile>,
    /// What was predicted, by asset.
    pub predictions: BTreeMap<Id, Prediction>,
    /// Predicted length of the run.
    pub predicted_ms: u64,
    /// The first step after which rollback cannot restore what was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point_of_no_return: Option<Id>,
}

impl Compiled {
    /// Whether a step runs in this mode, and is not left out.
    pub fn runs(&self, step: &Step) -> bool {
        step.modes.contains(&self.mode) && !self.left_out.contains(&step.id)
    }
}

/// A node of the graph: a step or a join, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Node {
    /// Index into the scenario's steps.
    Step(u32),
    /// Index into the compiled plan's joins.
    Join(u32),
}

/// An edge with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// What must be done first.
    pub on: Node,
    /// Why, in words that follow "because": `it stands above`, `needs`, …
    pub why: String,
}

/// A point that many steps wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// What is done when it is reached: "all `assess` steps", "`orders-db` is back".
    pub what: String,
    /// What it waits for.
    pub waits: Vec<Wait>,
}

/// A file of the repository that a step uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddedFile {
    /// Relative to the plan's directory.
    pub path: String,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Its bytes, if at most 1 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<u8>>,
}

/// What was predicted for an asset, beside its objectives. All times in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// From the damage until it is back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_ms: Option<u64>,
    /// The objective for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto_ms: Option<u64>,
    /// Data lost, as time; none: unbounded, or the asset holds no data (see `holds_data`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_ms: Option<u64>,
    /// The objective for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
    /// False for kinds without data of their own.
    pub holds_data: bool,
    /// What bounds the loss: "replica at us-west-2, at most 10s behind".
    pub loss_source: String,
}
