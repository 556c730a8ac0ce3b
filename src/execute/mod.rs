//! A run: decided purely, driven asynchronously, remembered by the journal. It does not know how plans are
//! written or how a run is told.

pub mod adopt;
pub mod attempt;
mod condition;
pub mod driver;
pub mod errand;
pub mod doctor;
pub mod dry;
pub mod lists;
pub mod machine;
pub mod measure;
pub mod meaning;
pub mod offline;
pub mod patience;
pub mod planted;
pub mod rehearse;
pub mod rollback;
pub mod secret;
pub mod start;
pub mod state;
pub mod steady;
pub mod telling;
pub mod waiting;
pub mod words;

pub use driver::{Driver, Outcome};
pub use patience::Patient;
pub use start::Start;
pub use state::{Life, State};
