//! A plan, understood: names resolved, units read, parameters filled in. It does not know in which
//! order steps run (`graph`), whether the plan is wise (`analysis`), or what an action does (`actions`).

pub mod compiled;
pub mod plan;
pub mod target;

pub use compiled::{Compiled, EmbeddedFile, Join, Node, Prediction, Wait};
pub use plan::*;
pub use target::{connect_at, target, target_of};
