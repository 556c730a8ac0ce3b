//! What a plan itself says about the weight of findings: `policy: { rules }` for all of it, and a comment
//! `# drplan: allow(rule) until DAY: why` for one line. Only what warns can be given another weight: what refuses a
//! plan has its repair in the plan.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::rules;
use crate::diagnostic::{Diagnostic, Level, nearest};
use crate::model::{Places, Plan, Verdict};
use crate::source::{SourceId, Sources, Span};
use crate::syntax::{self, Comment};

/// What comments that speak to this program begin with.
pub const WORD: &str = "drplan:";

/// The weights that a plan gives, as far as they are in force.
pub struct Levels<'s> {
    sources: &'s Sources,
    verdicts: Vec<(String, Span, Level, Option<String>)>,
    lines: Vec<Line>,
    /// Of `lines`: by the line that each is about.
    on: BTreeMap<(SourceId, usize), Vec<usize>>,
    /// Of `verdicts` and then of `lines`: those that changed a finding.
    used: RefCell<BTreeSet<usize>>,
}

/// A comment that allows a rule on one line.
struct Line {
    rule: String,
    at: Span,
    reason: String,
}

impl<'s> Levels<'s> {
    /// Reads what a plan says; what cannot be meant, and what is over, is a finding. Without a day nothing is over.
    pub fn read(plan: &Plan, places: &Places, sources: &'s Sources, today: Option<Date>, findings: &mut Vec<Diagnostic>) -> Levels<'s> {
        let mut levels = Levels { sources, verdicts: Vec::new(), lines: Vec::new(), on: BTreeMap::new(), used: RefCell::default() };
        for (name, verdict) in &plan.policy.rules {
            let at = places.verdicts.get(name).copied().unwrap_or_default();
            let over = |until: &Date| today.is_some_and(|today| today > *until);
            match verdict {
                _ if !settable(name, at, findings) => {}
                Verdict::Deny => levels.verdicts.push((name.clone(), at, Level::Deny, None)),
                Verdict::Warn => levels.verdicts.push((name.clone(), at, Level::Warn, None)),
                Verdict::Allow { until, .. } if over(until) => findings.push(expired(name, until, at)),
                Verdict::Allow { reason, .. } => levels.verdicts.push((name.clone(), at, Level::Allow, Some(reason.clone()))),
            }
        }
        for source in sources.ids() {
            // Of a block of comments all speak of the line below it.
            let mut below = 0;
            for comment in syntax::comments(source, &sources.get(source).text, WORD) {
                let own = sources.get(source).line_col(comment.span.start).0;
                if comment.alone && own >= below {
                    below = next_line(sources.get(source), own);
                }
                levels.comment(&comment, if comment.alone { below } else { own }, today, findings);
            }
        }
        levels
    }

    /// A comment, and the line that it is about.
    fn comment(&mut self, comment: &Comment<'_>, line: usize, today: Option<Date>, findings: &mut Vec<Diagnostic>) {
        let at = comment.span;
        let Some((rule, until, reason)) = allowed(comment.text) else {
            let found = Diagnostic::deny("bad-allow", "a comment to this program is not understood", at, "nothing is allowed by it");
            findings.push(found.help("write `# drplan: allow(RULE) until 2027-03-01: why`"));
            return;
        };
        if !settable(rule, at, findings) {
            return;
        }
        if today.is_some_and(|today| today > until) {
            findings.push(expired(rule, &until, at));
            return;
        }
        self.on.entry((at.source, line)).or_default().push(self.lines.len());
        self.lines.push(Line { rule: rule.to_owned(), at, reason: reason.to_owned() });
    }

    /// Gives findings the weight that the plan wants.
    pub fn apply(&self, findings: &mut [Diagnostic]) {
        if self.verdicts.is_empty() && self.lines.is_empty() {
            return;
        }
        for found in findings {
            let place = found.span();
            let line = || self.sources.get(place.source).line_col(place.start).0;
            let here = if self.on.is_empty() { None } else { self.on.get(&(place.source, line())) };
            let line = here.into_iter().flatten().map(|&i| (i, &self.lines[i])).find(|(_, l)| l.rule == found.rule);
            let (index, level, reason) = match line {
                Some((i, line)) => (self.verdicts.len() + i, Level::Allow, Some(&line.reason)),
                None => match self.verdicts.iter().enumerate().find(|(_, v)| v.0 == found.rule) {
                    Some((i, (_, _, level, reason))) => (i, *level, reason.as_ref()),
                    None => continue,
                },
            };
            self.used.borrow_mut().insert(index);
            found.level = level;
            found.allowed = reason.cloned();
        }
    }

    /// What allows something that is not there: it would allow the next one too, unseen.
    pub fn unused(&self, findings: &mut Vec<Diagnostic>) {
        let used = self.used.borrow();
        let all = self.verdicts.iter().map(|(rule, at, level, _)| (rule, *at, *level == Level::Allow));
        let lines = self.lines.iter().map(|line| (&line.rule, line.at, true));
        for (rule, at, _) in all.chain(lines).enumerate().filter(|(i, (_, _, allows))| *allows && !used.contains(i)).map(|(_, one)| one) {
            let found = Diagnostic::warn("unused-allow", format!("`{rule}` is allowed, and not found"), at, "there is nothing to allow");
            findings.push(found.help("leave it out"));
        }
    }
}

fn expired(rule: &str, until: &Date, at: Span) -> Diagnostic {
    let found = Diagnostic::warn("expired-allow", format!("`{rule}` was allowed until {until}"), at, "that day is over");
    found.help("mend what it allows, or give a new day and the reason for it")
}

/// Whether there is such a rule, and it can be given another weight.
fn settable(name: &str, at: Span, findings: &mut Vec<Diagnostic>) -> bool {
    let Some(rule) = rules::find(name) else {
        let found = Diagnostic::deny("unknown-name", format!("no rule `{name}`"), at, "not a rule");
        findings.push(match nearest(name, rules::TABLE.iter().map(|r| r.name)) {
            Some(near) => found.help(format!("write `{near}`")),
            None => found.help("`drplan explain` lists the rules"),
        });
        return false;
    };
    if rule.level == Level::Warn && !FIXED.contains(&name) {
        return true;
    }
    let found = Diagnostic::deny(
        "fixed-level",
        format!("the weight of `{name}` cannot be changed"),
        at,
        "what it finds has its repair in the plan",
    );
    findings.push(found.help(format!("leave it out; `drplan explain {name}` says what to do instead")));
    false
}

/// Rules about allowing itself.
const FIXED: &[&str] = &["expired-allow", "unused-allow"];

/// `drplan: allow(RULE) until DAY: WHY`, behind the `#`.
fn allowed(text: &str) -> Option<(&str, Date, &str)> {
    let rest = text.trim().strip_prefix(WORD)?.trim_start().strip_prefix("allow(")?;
    let (rule, rest) = rest.split_once(')')?;
    let (day, why) = rest.trim_start().strip_prefix("until")?.split_once(':')?;
    let (day, why) = (day.trim(), why.trim());
    let until = day.parse().ok().filter(|_| day.len() == 10)?;
    (!why.is_empty()).then_some((rule.trim(), until, why))
}

/// The next line that is more than a comment.
fn next_line(source: &crate::source::Source, from: usize) -> usize {
    let speaks = |line: &usize| {
        let (start, end) = source.line_range(*line);
        let text = source.text[start..end].trim_start();
        !text.is_empty() && !text.starts_with('#')
    };
    (from + 1..=source.line_count()).find(speaks).unwrap_or(from)
}
