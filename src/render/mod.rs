//! A checked plan as a document: one file a format, templates beside them. It does not judge the plan, and it does not
//! know runs.

pub mod dot;
pub mod escape;
pub mod json;
pub mod mermaid;
pub mod runbook;
pub mod view;
