//! What is unwise or forbidden in a plan: one file and one page a rule, and a line in the table. Rules that find their
//! mistakes while a plan is read have a page and no file.

mod bad_continue;
mod change_before_approval;
mod lost_not_recovered;
mod no_source;
mod objective_missed;
mod skip_unaccepted;
mod source_unsaid;
mod stop_in_recover;
mod unreachable_unsaid;
mod unsure_output;

use super::facts::Facts;
use crate::diagnostic::{Diagnostic, Level};

/// A rule: its name everywhere, its weight, its manual page and its judgement.
pub struct Rule {
    /// As findings, `policy` and `explain` name it.
    pub name: &'static str,
    /// How much its findings weigh.
    pub level: Level,
    /// The manual page (Markdown).
    pub page: &'static str,
    /// Looks at one scenario; none: found while the plan is read.
    pub run: Option<fn(&Facts<'_>, &mut Vec<Diagnostic>)>,
}

macro_rules! rule {
    ($name:literal, $level:ident) => {
        Rule { name: $name, level: Level::$level, page: include_str!(concat!($name, ".md")), run: None }
    };
    ($name:literal, $level:ident, $run:path) => {
        Rule { name: $name, level: Level::$level, page: include_str!(concat!($name, ".md")), run: Some($run) }
    };
}

/// Every rule, by name.
pub static TABLE: &[Rule] = &[
    rule!("bad-continue", Deny, bad_continue::run),
    rule!("bad-id", Deny),
    rule!("bad-param", Deny),
    rule!("bad-reference", Deny),
    rule!("bad-retry", Deny),
    rule!("bad-schedule", Deny),
    rule!("bad-unit", Deny),
    rule!("bad-value", Deny),
    rule!("change-before-approval", Warn, change_before_approval::run),
    rule!("cycle", Deny),
    rule!("duplicate-id", Deny),
    rule!("duplicate-key", Deny),
    rule!("lost-not-recovered", Deny, lost_not_recovered::run),
    rule!("misplaced-secret", Deny),
    rule!("missing-file", Warn),
    rule!("missing-key", Deny),
    rule!("missing-param", Deny),
    rule!("missing-undo", Deny),
    rule!("no-source", Warn, no_source::run),
    rule!("not-in-this-version", Deny),
    rule!("objective-missed", Warn, objective_missed::run),
    rule!("reading-only", Deny),
    rule!("skip-unaccepted", Deny, skip_unaccepted::run),
    rule!("source-unsaid", Warn, source_unsaid::run),
    rule!("stop-in-recover", Warn, stop_in_recover::run),
    rule!("undo-impossible", Deny),
    rule!("unfit-action", Deny),
    rule!("unknown-action", Deny),
    rule!("unknown-key", Deny),
    rule!("unknown-name", Deny),
    rule!("unknown-word", Deny),
    rule!("unreachable-unsaid", Deny, unreachable_unsaid::run),
    rule!("unsure-output", Deny, unsure_output::run),
    rule!("wrong-type", Deny),
    rule!("yaml", Deny),
];

/// The rule of a name.
pub fn find(name: &str) -> Option<&'static Rule> {
    TABLE.iter().find(|r| r.name == name)
}

/// The manual pages of all rules, by name.
pub fn pages() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.iter().map(|r| (r.name, r.page))
}
