//! Findings as text, one file a format.

pub mod short;

pub use short::short;
