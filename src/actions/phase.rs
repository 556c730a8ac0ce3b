//! The phases of a recovery, and what each is for. It does not know what comes before what.

use serde::{Deserialize, Serialize};

/// Where a step stands in a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the language")]
pub enum Phase {
    Assess,
    Contain,
    Prepare,
    Recover,
    Verify,
    Close,
}

impl Phase {
    /// Whether its steps bring assets back.
    pub fn brings(self) -> bool {
        matches!(self, Phase::Prepare | Phase::Recover)
    }

    /// Whether an asset is back only when its steps of this phase have ended.
    pub fn ends_recovery(self) -> bool {
        matches!(self, Phase::Recover | Phase::Verify)
    }

    /// Whether its steps bring assets back, or show that they are.
    pub fn of_recovery(self) -> bool {
        self.brings() || self.ends_recovery()
    }
}
