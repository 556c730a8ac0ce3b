//! Findings as text, one file a format.

pub mod human;
pub mod json;
pub mod short;

pub use human::{Look, human, summary};
pub use json::json;
pub use short::short;
