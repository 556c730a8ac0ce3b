//! A checked plan as a document: one file a format, templates beside them. It does not judge the plan, and it does not
//! know runs.

pub mod escape;
pub mod mermaid;
pub mod runbook;
pub mod view;
