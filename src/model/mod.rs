//! A plan, understood: names resolved, units read, parameters filled in. It does not know in which
//! order steps run (`graph`), whether the plan is wise (`analysis`), or what an action does (`actions`).

pub mod changes;
pub mod compiled;
pub mod drilled;
pub mod each;
mod fence;
pub mod injection;
pub mod joined;
pub mod lists;
mod keys;
pub mod leaks;
pub mod losses;
pub mod lower;
pub mod nested;
pub mod places;
pub mod raw;
pub mod plan;
pub mod program;
pub mod schema;
pub mod scope;
pub mod shapes;
pub mod target;
pub mod unfit;
mod unused;
pub mod values;
pub mod veil;
pub mod vocabulary;

pub use compiled::{Compiled, EmbeddedFile, Join, Node, Prediction, Wait};
pub use fence::fences;
pub use losses::{damages, lost_assets, lost_sites, sites_with};
pub use places::Places;
pub use plan::*;
pub use target::{connect_at, target, target_of};
