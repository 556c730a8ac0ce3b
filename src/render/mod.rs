//! A checked plan as a document: one file a format, templates beside them. It does not judge the plan, and of
//! a run it knows only what it is told.

mod copies;
pub mod dot;
pub mod escape;
pub mod estimate;
pub mod json;
pub mod mermaid;
pub mod runbook;
pub mod ticked;
pub mod view;
pub mod yaml;
