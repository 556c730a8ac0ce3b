//! What is unwise or forbidden in a plan: one file and one page a rule, and a line in the table. Rules that find their
//! mistakes while a plan is read have a page and no file.

mod at_no_copy;
mod backup_beside_asset;
mod backup_overrun;
mod backup_takes_unsaid;
mod backup_too_rare;
mod bad_continue;
mod base_circle;
mod base_dump;
mod change_before_approval;
mod change_in_assess;
mod change_in_verify;
mod check_of_reading;
mod check_repeats_step;
mod contact_lost;
mod copy_beside_backup;
mod corrupt_site;
mod detect_over_objective;
mod drill_on_production;
mod drill_proves_nothing;
mod drill_too_rare;
mod drill_unapproved;
mod drill_untested;
mod idle_approval;
mod idle_lock;
mod idle_objective;
mod implied_wait;
mod journal_lost;
mod keep_finer;
mod keep_too_short;
mod kept_too_short;
mod key_beside_asset;
mod lag_unsaid;
mod latest_too_late;
mod leaves_recovered;
mod leaves_unlost;
mod lock_can_be_lifted;
mod lock_too_short;
mod loses_nothing;
mod lost_not_recovered;
mod misphased_recovery;
mod missing_base;
mod needless_base;
mod needless_lag;
mod needless_undo;
mod needs_close;
mod never_runs;
mod never_taken;
mod newer_lost;
mod no_offline_copy;
mod no_smoke_test;
mod no_source;
mod no_steps;
mod no_way_back;
mod nobody_told;
mod not_contained;
mod not_encrypted;
mod not_immutable;
mod not_shown;
mod objective_missed;
mod promote_before_fence;
mod promote_primary;
mod promote_standby;
mod rebuild_unkept;
mod recover_unlost;
mod replica_hidden;
mod restore_point_gone;
mod restoring_read;
mod rto_inversion;
mod schedule_skipped;
mod secret_lost;
mod skip_unaccepted;
mod source_unsaid;
mod stands_on_lost;
mod stop_in_recover;
mod target_lost;
mod tier_says_nothing;
mod timeout_too_short;
mod too_few_approvals;
mod too_few_copies;
mod too_few_sites;
mod twice_scheduled;
mod two_writers;
mod unanswered;
mod undo_loses_writes;
mod undo_only_reads;
mod undo_repeats;
mod undoes_and_loses;
mod undoes_circle;
mod unprotected;
mod unprotected_after;
mod unreachable_approvers;
mod unreachable_unsaid;
mod unsure_output;
mod unsure_recovery;
mod unverified_traffic;
mod verify_too_early;
mod verify_too_rare;
mod verify_unmet;
mod wait_over_takes;

use super::facts::Facts;
use super::rehearsal::Rehearsal;
use super::whole::Whole;
use crate::diagnostic::{Diagnostic, Level};

/// What a rule is about, in the order in which a plan is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Subject {
    /// The text itself: YAML as people write it.
    Text,
    /// Keys, words and names.
    Names,
    /// What a value may be.
    Types,
    /// `${…}`, and parameters.
    References,
    /// Secrets, and where they may stand.
    Secrets,
    /// Actions, and what they act on.
    Actions,
    /// What a repetition, a failure or silence means.
    Effects,
    /// The way back.
    Undo,
    /// What happens before what.
    Order,
    /// Values of a plan that would be obeyed as text.
    Injection,
    /// Backups, replicas and what may be lost.
    Data,
    /// What a recovery stands on, and whether that is lost too.
    Sites,
    /// What was promised.
    Objectives,
    /// What is rehearsed, and where.
    Drills,
    /// What the plan says about findings.
    Policy,
}

/// When a rule looks, and at what.
#[derive(Debug, Clone, Copy)]
pub enum Looks {
    /// While the plan is read, wherever it may be broken.
    Reading,
    /// At the whole plan, once.
    Plan(fn(&Whole<'_>, &mut Vec<Diagnostic>)),
    /// At one scenario.
    Scenario(fn(&Facts<'_>, &mut Vec<Diagnostic>)),
    /// At one drill.
    Drill(fn(&Rehearsal<'_>, &mut Vec<Diagnostic>)),
}

/// A rule: its name everywhere, its weight, its manual page and its judgement.
pub struct Rule {
    /// As findings, `policy` and `explain` name it.
    pub name: &'static str,
    /// What it is about.
    pub subject: Subject,
    /// How much its findings weigh.
    pub level: Level,
    /// The manual page (Markdown).
    pub page: &'static str,
    /// When it looks, and at what.
    pub looks: Looks,
}

macro_rules! rule {
    ($name:literal, $subject:ident, $level:ident) => {
        rule!(@ $name, $subject, $level, Looks::Reading)
    };
    ($name:literal, $subject:ident, $level:ident, once $run:path) => {
        rule!(@ $name, $subject, $level, Looks::Plan($run))
    };
    ($name:literal, $subject:ident, $level:ident, drill $run:path) => {
        rule!(@ $name, $subject, $level, Looks::Drill($run))
    };
    ($name:literal, $subject:ident, $level:ident, $run:path) => {
        rule!(@ $name, $subject, $level, Looks::Scenario($run))
    };
    (@ $name:literal, $subject:ident, $level:ident, $looks:expr) => {
        Rule { name: $name, subject: Subject::$subject, level: Level::$level, page: include_str!(concat!($name, ".md")), looks: $looks }
    };
}

/// Every rule, by name.
pub static TABLE: &[Rule] = &[
    rule!("accepts-no-fence", Order, Deny),
    rule!("ambiguous-name", References, Deny),
    rule!("asset-nowhere", Names, Deny),
    rule!("asset-unnamed", Actions, Deny),
    rule!("at-no-copy", Actions, Deny, at_no_copy::run),
    rule!("backoff-without-delay", Effects, Warn),
    rule!("backup-beside-asset", Data, Warn, once backup_beside_asset::run),
    rule!("backup-overrun", Data, Warn, once backup_overrun::run),
    rule!("backup-takes-unsaid", Data, Warn, once backup_takes_unsaid::run),
    rule!("backup-too-rare", Data, Warn, once backup_too_rare::run),
    rule!("bad-allow", Policy, Deny),
    rule!("bad-continue", Effects, Deny, bad_continue::run),
    rule!("bad-default", References, Deny),
    rule!("bad-escape", Text, Deny),
    rule!("bad-id", Names, Deny),
    rule!("bad-matcher", Types, Deny),
    rule!("bad-param", References, Deny),
    rule!("bad-pattern", Types, Deny),
    rule!("bad-reference", References, Deny),
    rule!("bad-retry", Effects, Deny),
    rule!("bad-schedule", Types, Deny),
    rule!("bad-time", Types, Deny),
    rule!("bad-unit", Types, Deny),
    rule!("bad-value", Actions, Deny),
    rule!("bad-variable", Secrets, Deny),
    rule!("base-circle", Data, Deny, once base_circle::run),
    rule!("base-dump", Data, Deny, once base_dump::run),
    rule!("calendar-unit", Types, Deny),
    rule!("change-before-approval", Order, Warn, change_before_approval::run),
    rule!("change-in-assess", Order, Warn, change_in_assess::run),
    rule!("change-in-verify", Order, Warn, change_in_verify::run),
    rule!("check-of-reading", Effects, Warn, check_of_reading::run),
    rule!("check-repeats-step", Effects, Deny, check_repeats_step::run),
    rule!("clock-duration", Types, Deny),
    rule!("code-injection", Injection, Deny),
    rule!("contact-lost", Order, Warn, contact_lost::run),
    rule!("copy-beside-backup", Data, Warn, once copy_beside_backup::run),
    rule!("corrupt-site", Objectives, Deny, corrupt_site::run),
    rule!("count-out-of-reach", Order, Deny),
    rule!("custom-tag", Text, Deny),
    rule!("cycle", Order, Deny),
    rule!("delay-over-max", Effects, Warn),
    rule!("detect-over-objective", Objectives, Warn, detect_over_objective::run),
    rule!("drill-on-production", Drills, Deny, drill drill_on_production::run),
    rule!("drill-proves-nothing", Drills, Warn, drill drill_proves_nothing::run),
    rule!("drill-too-rare", Drills, Warn, once drill_too_rare::run),
    rule!("drill-unapproved", Drills, Deny, drill drill_unapproved::run),
    rule!("drill-untested", Drills, Warn, drill drill_untested::run),
    rule!("duplicate-id", Names, Deny),
    rule!("duplicate-key", Names, Deny),
    rule!("empty-list", Names, Deny),
    rule!("empty-plan", Text, Deny),
    rule!("empty-reason", Undo, Deny),
    rule!("empty-value", Types, Deny),
    rule!("escalate-nowhere", Order, Deny),
    rule!("expired-allow", Policy, Warn),
    rule!("fixed-level", Policy, Deny),
    rule!("foreign-output", References, Deny),
    rule!("from-unsaid", Data, Deny),
    rule!("half-quoted", Text, Deny),
    rule!("hidden-character", Text, Deny),
    rule!("hidden-in-text", Text, Warn),
    rule!("idle-approval", Order, Warn, idle_approval::run),
    rule!("idle-lock", Order, Warn, idle_lock::run),
    rule!("idle-objective", Objectives, Warn, idle_objective::run),
    rule!("implied-wait", Objectives, Warn, implied_wait::run),
    rule!("impossible-match", Types, Deny),
    rule!("include-missing", Text, Deny),
    rule!("include-named", Names, Deny),
    rule!("include-outside", Text, Deny),
    rule!("indentation", Text, Deny),
    rule!("journal-lost", Order, Warn, journal_lost::run),
    rule!("keep-finer", Data, Deny, once keep_finer::run),
    rule!("keep-too-short", Data, Warn, once keep_too_short::run),
    rule!("kept-too-short", Data, Warn, once kept_too_short::run),
    rule!("key-beside-asset", Data, Warn, once key_beside_asset::run),
    rule!("known-effect", Effects, Deny),
    rule!("known-outputs", Actions, Deny),
    rule!("lag-unsaid", Data, Warn, lag_unsaid::run),
    rule!("latest-too-late", Data, Warn, latest_too_late::run),
    rule!("leading-zero", Types, Deny),
    rule!("leaves-recovered", Objectives, Warn, leaves_recovered::run),
    rule!("leaves-unlost", Objectives, Warn, leaves_unlost::run),
    rule!("list-in-text", References, Deny),
    rule!("lock-can-be-lifted", Data, Warn, once lock_can_be_lifted::run),
    rule!("lock-too-short", Data, Warn, once lock_too_short::run),
    rule!("loses-nothing", Objectives, Deny, loses_nothing::run),
    rule!("lost-not-recovered", Objectives, Deny, lost_not_recovered::run),
    rule!("merge-key", Text, Deny),
    rule!("misphased-recovery", Order, Warn, misphased_recovery::run),
    rule!("misplaced-key", Names, Deny),
    rule!("misplaced-reference", References, Deny),
    rule!("misplaced-secret", Secrets, Deny),
    rule!("missing-base", Data, Deny, once missing_base::run),
    rule!("missing-file", Actions, Warn),
    rule!("missing-key", Names, Deny),
    rule!("missing-param", References, Deny),
    rule!("missing-scheme", Types, Deny),
    rule!("missing-space", Text, Deny),
    rule!("missing-undo", Undo, Deny),
    rule!("missing-unit", Types, Deny),
    rule!("named-twice", Names, Warn),
    rule!("needless-base", Data, Warn, once needless_base::run),
    rule!("needless-lag", Data, Warn, once needless_lag::run),
    rule!("needless-undo", Undo, Warn, needless_undo::run),
    rule!("needs-close", Order, Warn, needs_close::run),
    rule!("never-runs", Order, Deny, never_runs::run),
    rule!("never-taken", Data, Deny, once never_taken::run),
    rule!("newer-lost", Order, Deny, newer_lost::run),
    rule!("no-offline-copy", Data, Warn, once no_offline_copy::run),
    rule!("no-smoke-test", Objectives, Warn, no_smoke_test::run),
    rule!("no-source", Data, Warn, no_source::run),
    rule!("no-steps", Order, Deny, no_steps::run),
    rule!("no-way-back", Objectives, Warn, once no_way_back::run),
    rule!("nobody-told", Objectives, Warn, once nobody_told::run),
    rule!("not-a-list", Types, Deny),
    rule!("not-a-plan", Text, Deny),
    rule!("not-contained", Order, Warn, not_contained::run),
    rule!("not-encrypted", Data, Warn, once not_encrypted::run),
    rule!("not-immutable", Data, Warn, once not_immutable::run),
    rule!("not-joined", Names, Deny),
    rule!("not-one-value", Types, Deny),
    rule!("not-shown", Objectives, Warn, not_shown::run),
    rule!("not-utf8", Text, Deny),
    rule!("nul", Text, Deny),
    rule!("objective-missed", Objectives, Warn, objective_missed::run),
    rule!("old-boolean", Types, Deny),
    rule!("option-injection", Injection, Warn),
    rule!("other-template", References, Deny),
    rule!("output-nowhere", Actions, Deny),
    rule!("own-output", References, Deny),
    rule!("password-in-url", Secrets, Deny),
    rule!("path-from-value", Injection, Warn),
    rule!("plain-secret", Secrets, Deny),
    rule!("program-from-value", Injection, Warn),
    rule!("promote-before-fence", Order, Deny, promote_before_fence::run),
    rule!("promote-primary", Actions, Warn, promote_primary::run),
    rule!("promote-standby", Actions, Deny, promote_standby::run),
    rule!("quoted-value", Types, Deny),
    rule!("reading-only", Effects, Deny),
    rule!("rebuild-unkept", Data, Deny, once rebuild_unkept::run),
    rule!("recover-unlost", Objectives, Warn, recover_unlost::run),
    rule!("reference-in-name", References, Deny),
    rule!("reference-operator", References, Deny),
    rule!("replica-hidden", Data, Deny, once replica_hidden::run),
    rule!("restore-point-gone", Data, Warn, restore_point_gone::run),
    rule!("restoring-read", Effects, Deny, restoring_read::run),
    rule!("rto-inversion", Objectives, Warn, rto_inversion::run),
    rule!("scattered-scenario", Names, Deny),
    rule!("schedule-skipped", Data, Warn, once schedule_skipped::run),
    rule!("secret-in-repository", Secrets, Warn),
    rule!("secret-lost", Secrets, Deny, secret_lost::run),
    rule!("secret-source", Secrets, Deny),
    rule!("several-documents", Text, Deny),
    rule!("shell-injection", Injection, Deny),
    rule!("single-attempt", Effects, Warn),
    rule!("site-unsaid", Actions, Deny),
    rule!("size-unsaid", Objectives, Deny),
    rule!("skip-unaccepted", Order, Deny, skip_unaccepted::run),
    rule!("source-unsaid", Data, Warn, source_unsaid::run),
    rule!("sql-injection", Injection, Deny),
    rule!("stands-on-lost", Sites, Warn, stands_on_lost::run),
    rule!("stop-in-recover", Order, Warn, stop_in_recover::run),
    rule!("tab", Text, Deny),
    rule!("takes-unsaid", Objectives, Deny),
    rule!("target-lost", Sites, Deny, target_lost::run),
    rule!("tier-says-nothing", Objectives, Warn, once tier_says_nothing::run),
    rule!("timeout-too-short", Effects, Warn, timeout_too_short::run),
    rule!("too-deep", Text, Deny),
    rule!("too-few-approvals", Objectives, Warn, too_few_approvals::run),
    rule!("too-few-copies", Data, Warn, once too_few_copies::run),
    rule!("too-few-sites", Data, Warn, once too_few_sites::run),
    rule!("too-large", Text, Deny),
    rule!("twice-scheduled", Data, Deny, once twice_scheduled::run),
    rule!("two-writers", Order, Deny, two_writers::run),
    rule!("unanswered", Objectives, Warn, once unanswered::run),
    rule!("unclosed-bracket", Text, Deny),
    rule!("unclosed-quote", Text, Deny),
    rule!("unclosed-reference", References, Deny),
    rule!("undescribed", Actions, Deny),
    rule!("undo-impossible", Undo, Deny),
    rule!("undo-loses-writes", Undo, Deny, undo_loses_writes::run),
    rule!("undo-only-reads", Undo, Deny, undo_only_reads::run),
    rule!("undo-repeats", Undo, Deny, undo_repeats::run),
    rule!("undo-unclear", Undo, Deny),
    rule!("undoes-and-loses", Objectives, Deny, undoes_and_loses::run),
    rule!("undoes-circle", Order, Deny, once undoes_circle::run),
    rule!("unfit-action", Actions, Deny),
    rule!("unknown-action", Names, Deny),
    rule!("unknown-alias", Text, Deny),
    rule!("unknown-each", References, Deny),
    rule!("unknown-key", Names, Deny),
    rule!("unknown-name", Names, Deny),
    rule!("unknown-reference", References, Deny),
    rule!("unknown-version", Text, Deny),
    rule!("unknown-word", Names, Deny),
    rule!("unprotected", Data, Warn, once unprotected::run),
    rule!("unprotected-after", Data, Warn, unprotected_after::run),
    rule!("unquoted-colon", Text, Deny),
    rule!("unquoted-hash", Text, Deny),
    rule!("unquoted-reference", Text, Deny),
    rule!("unquoted-sign", Text, Deny),
    rule!("unquoted-value", Types, Deny),
    rule!("unreachable-approvers", Order, Warn, once unreachable_approvers::run),
    rule!("unreachable-unsaid", Effects, Deny, unreachable_unsaid::run),
    rule!("unsure-output", Order, Deny, unsure_output::run),
    rule!("unsure-recovery", References, Deny, unsure_recovery::run),
    rule!("unused-allow", Policy, Warn),
    rule!("unused-name", Names, Warn),
    rule!("unused-param", References, Warn),
    rule!("unused-secret", Secrets, Warn),
    rule!("unverified-traffic", Order, Deny, unverified_traffic::run),
    rule!("verifiable-unchecked", Effects, Deny),
    rule!("verify-too-early", Order, Warn, verify_too_early::run),
    rule!("verify-too-rare", Drills, Warn, once verify_too_rare::run),
    rule!("verify-unmet", Drills, Warn, once verify_unmet::run),
    rule!("wait-over-takes", Effects, Deny, wait_over_takes::run),
    rule!("wrong-section", Names, Deny),
    rule!("wrong-type", Types, Deny),
    rule!("yaml", Text, Deny),
];

/// The rule of a name.
pub fn find(name: &str) -> Option<&'static Rule> {
    TABLE.iter().find(|r| r.name == name)
}
