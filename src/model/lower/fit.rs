//! Words of one step that do not fit each other: its action and its assets, how often it is tried, whom it asks. It reads
//! no step as a whole: that is `step`.

use super::scenario::Around;
use super::{Lower, read};
use crate::actions::template::marked;
use crate::actions::units::duration_text;
use crate::actions::{self, Action, Effect};
use crate::diagnostic::Diagnostic;
use crate::model::places::Keys;
use crate::model::{Retry, Step};
use crate::source::Span;
use crate::syntax::Node;

/// Findings of one step are among the last so many.
const RECENT: usize = 16;

impl<'t> Lower<'_, 't> {
    pub(super) fn retry(&mut self, node: &Node<'_>, effect: Option<Effect>) -> Retry {
        let Some(retry) = node.get("retry") else { return Retry::default() };
        let number = |key: &str| retry.get(key).and_then(|n| self.typed(n)).and_then(|t| t.parse::<f64>().ok());
        let read = Retry {
            attempts: number("attempts").map_or(1, |n| n.clamp(0.0, 1e6) as u32),
            delay_ms: self.duration(retry, "delay").unwrap_or(0),
            factor: number("factor").unwrap_or(1.0),
            max_delay_ms: self.duration(retry, "max_delay").unwrap_or(u64::MAX),
        };
        let (attempts, factor) = (number("attempts"), number("factor"));
        let mut wrong = |at: Span, what: &str, label: &str, help: &str| {
            self.findings.push(Diagnostic::deny("bad-retry", what, at, label).help(help));
        };
        if matches!(effect, Some(Effect::Once | Effect::Manual)) && retry.map().is_some() {
            let at = node.entry("retry").map_or(retry.span, |e| e.at);
            wrong(
                at,
                "a step that cannot be repeated has a `retry`",
                "its effect may happen only once",
                "leave `retry` out, or add a `check`",
            );
        }
        if attempts.is_some_and(|n| n < 1.0) {
            wrong(
                retry.get("attempts").map_or(retry.span, |n| n.span),
                "`attempts` is less than 1",
                "it would never run",
                "write `attempts: 2` or more",
            );
        }
        if factor.is_some_and(|f| f < 1.0 || !f.is_finite()) {
            wrong(
                retry.get("factor").map_or(retry.span, |n| n.span),
                "`factor` is less than 1",
                "delays would shrink",
                "write `factor: 1` or more",
            );
        }
        self.idle_retry(retry, attempts, &read);
        read
    }

    /// Words of a `retry` that change nothing.
    fn idle_retry(&mut self, retry: &Node<'_>, attempts: Option<f64>, read: &Retry) {
        // What was refused in it already says enough.
        let inside = |at: Span| at.source == retry.span.source && at.start >= retry.span.start && at.end <= retry.span.end;
        if self.findings.iter().rev().take(RECENT).any(|f| inside(f.span())) {
            return;
        }
        let at = |key: &str| retry.get(key).map_or(retry.span, |n| n.span);
        if attempts == Some(1.0) {
            let found = Diagnostic::warn(
                "single-attempt",
                "a `retry` of one attempt tries nothing again",
                at("attempts"),
                "the first one counts too",
            );
            return self.findings.push(found.help("write `attempts: 3`, or leave `retry` out"));
        }
        let grows = ["factor", "max_delay"].into_iter().find(|key| retry.get(key).is_some());
        if let Some(key) = grows.filter(|_| {
            read.delay_ms == 0
                && attempts.is_some_and(|n| n > 1.0)
                && retry.get("delay").and_then(Node::scalar).is_none_or(|d| !marked(d.text))
        }) {
            let headline = format!("`{key}` without a `delay`: the attempts follow each other at once");
            let found = Diagnostic::warn("backoff-without-delay", headline, at(key), "there is no delay that could grow");
            return self.findings.push(found.help("add `delay: 2s`, or how long to wait before the second attempt"));
        }
        if read.max_delay_ms < read.delay_ms {
            let (most, first) = (duration_text(read.max_delay_ms), duration_text(read.delay_ms));
            let headline = format!("no delay is longer than {most}, and the first one is {first}");
            let found = Diagnostic::warn("delay-over-max", headline, at("max_delay"), format!("every delay is {most}"));
            let found = found.also(at("delay"), "this is never waited for");
            self.findings.push(found.help(format!("write `delay: {most}` or less; or `max_delay: {first}` or more")));
        }
    }

    /// Whom an approval asks, and what it accepts.
    pub(super) fn approval(&mut self, node: &Node<'_>, step: &Step, around: &Around<'_>) {
        let Some(with) = node.get("with").filter(|_| step.call.uses == "approval") else { return };
        let mut asked: Vec<&str> =
            with.get("from").and_then(Node::list).unwrap_or(&[]).iter().filter_map(|n| Some(n.scalar()?.text)).collect();
        asked.sort_unstable();
        asked.dedup();
        if let (Some(at), Some(count)) = (with.get("count"), step.call.with.get("count").and_then(serde_json::Value::as_u64))
            && count > asked.len() as u64
            && let Some(from) = with.entry("from")
        {
            let headline = format!("`{}` waits for {count} people, and asks {}", step.id, asked.len());
            let found = Diagnostic::deny("count-out-of-reach", headline, at.span, "it could never be given");
            let found = found.also(from.at, format!("{} of these", asked.len()));
            self.findings.push(found.help(format!("write `count: {}`, or name more people in `from`", asked.len())));
        }
        for item in with.get("accepts").and_then(Node::list).unwrap_or(&[]) {
            let Some(name) = read::raw(item) else { continue };
            let Some(head) = around.steps.get(name.as_str()) else {
                self.unknown("step", &name, item.span, &around.names);
                continue;
            };
            let word = |key: &str| head.node.get(key).and_then(Node::scalar).map(|s| s.text);
            let fences = head.action.is_some_and(|a| a.name.ends_with(".fence"))
                || word("phase") == Some("contain") && head.node.get("check").is_some();
            let id = head.node.get("id").map_or(item.span, |n| n.span);
            let (what, why, help) = match fences {
                false => (
                    "is no fence",
                    "only a step that keeps the old one from taking writes",
                    format!("take `{name}` out, or name the fence that may be skipped"),
                ),
                true if word("when_unreachable") == Some("skip") => continue,
                true => (
                    "is never skipped",
                    "it is skipped only with `when_unreachable: skip`",
                    format!("write `when_unreachable: skip` in `{name}`, or take `{name}` out here"),
                ),
            };
            let headline = format!("`{}` accepts that `{name}` is skipped, which {what}", step.id);
            let found = Diagnostic::deny("accepts-no-fence", headline, item.span, why);
            self.findings.push(found.also(id, "this step").help(help));
        }
    }

    /// The actions and the assets of the step, and fields that do not fit each other.
    pub(super) fn fits(&mut self, node: &Node<'_>, action: &Action, step: &Step, keys: &Keys, before: usize) {
        let known = step.assets.iter().filter(|a| self.plan.assets.contains_key(*a)).count();
        // What is wrong with an asset was said there.
        let broken = known < step.assets.len() || node.get("asset").is_some() && step.assets.is_empty();
        if broken || !self.acts_on(action, step, keys.value("uses")) {
            return;
        }
        let nested = [node.get("check"), node.get("undo"), node.get("with").and_then(|w| w.get("until"))];
        for part in nested.into_iter().flatten() {
            let uses = part.get("uses").and_then(|u| Some((actions::find(u.scalar()?.text)?, u.span)));
            if let Some((action, at)) = uses {
                self.acts_on(action, step, at);
            }
        }
        let target = crate::model::target_of(&self.plan, step, &step.call);
        let call = actions::Call { step: &step.id, with: &step.call.with, target: target.as_ref() };
        // Fields that were refused already are not asked how they fit.
        let inside = |f: &Diagnostic, place: &Node<'_>| {
            let at = f.span();
            at.source == place.span.source && at.start >= place.span.start && at.end <= place.span.end
        };
        let refused = |f: &Diagnostic| f.rule == "misplaced-key" && inside(f, node) || node.get("with").is_some_and(|with| inside(f, with));
        if self.findings[before..].iter().any(refused) {
            return;
        }
        for (key, what, help) in (action.check)(&call) {
            let at = node.get("with").and_then(|w| w.entry(key)).map_or(keys.value("uses"), |e| e.at);
            self.findings.push(Diagnostic::deny("bad-value", format!("`{}`: {what}", action.name), at, "does not fit").help(help));
        }
    }

    /// Whether a step names an asset on which an action can act; reported if not.
    fn acts_on(&mut self, action: &Action, step: &Step, at: Span) -> bool {
        let mut named = step.assets.iter().filter_map(|a| self.plan.assets.get(a));
        if action.kinds.is_empty() || named.any(|a| action.kinds.contains(&a.kind)) {
            return true;
        }
        let kinds: Vec<String> = action.kinds.iter().map(|k| format!("`{}`", kind_word(*k))).collect();
        let fitting = self.plan.assets.iter().find(|(_, a)| action.kinds.contains(&a.kind)).map(|(id, _)| id);
        let headline = format!("`{}` acts on an asset of kind {}", action.name, kinds.join(" or "));
        let found = match step.assets.as_slice() {
            [] => Diagnostic::deny("asset-unnamed", headline, at, format!("`{}` names no asset", step.id)),
            [id, ..] => {
                let kind = self.plan.assets.get(id).map(|a| kind_word(a.kind)).unwrap_or_default();
                let found = Diagnostic::deny("unfit-action", headline, at, format!("`{}` names `{id}`, which is another kind", step.id));
                let keys = self.places.assets.get(id);
                keys.map_or(found.clone(), |k| found.also(k.value("kind"), format!("`{id}` is of kind `{kind}`")))
            }
        };
        self.findings.push(match (fitting, step.assets.as_slice()) {
            (Some(id), []) => found.help(format!("add `asset: {id}`")),
            (Some(id), _) if step.call.uses == action.name => found.help(format!("write `asset: {id}`")),
            (Some(id), named) => {
                found.help(format!("write `asset: [{}, {id}]`, or make it a step of its own with `asset: {id}`", named.join(", ")))
            }
            (None, _) => found.help("add such an asset to `assets`, and name it here with `asset: …`"),
        });
        false
    }
}

fn kind_word(kind: crate::actions::AssetKind) -> String {
    serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
