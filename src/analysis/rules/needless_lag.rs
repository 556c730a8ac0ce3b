//! `needless-lag`: a `max_lag` where nothing can be behind.

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::ReplicaMode;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, _, replica, at) in whole.replicas().filter(|(_, _, r, _)| r.max_lag_ms.is_some()) {
        let (what, why, help) = match replica.mode {
            ReplicaMode::Synchronous => (
                "is never behind",
                "a write is done only when it is here too",
                "leave `max_lag` out, or write `mode: streaming` if it may be behind",
            ),
            ReplicaMode::Standby => (
                "holds no data",
                "an empty place cannot be behind",
                "leave `max_lag` out, or write `mode: streaming` if it follows the primary",
            ),
            _ => continue,
        };
        let headline = format!("the replica of `{id}` at `{}` {what}, and has a `max_lag`", replica.site);
        let found = Diagnostic::warn("needless-lag", headline, at.value("max_lag"), why);
        findings.push(found.also(at.value("mode"), "this says so").help(help));
    }
}
