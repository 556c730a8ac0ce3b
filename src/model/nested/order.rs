//! What waits for a call, and what a call waits for. It sees names and phases, and no trees.

use foldhash::HashSet;

use crate::actions::Phase;
use crate::model::each::address;
use crate::source::{SourceId, Span};
use crate::syntax::Node;

/// The name of a step that another one waits for, and where that is said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need<'a> {
    pub(super) name: &'a str,
    pub(super) at: Span,
    /// Only `assess` steps wait for it: everybody else does in any case.
    pub(super) early: bool,
}

/// What whoever waits for a call waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends<'a> {
    pub(super) last: Vec<&'a str>,
    /// An `assess` step: all of them come first, so that it waits for such steps alone, if there are some.
    pub(super) assess: Vec<&'a str>,
}

impl<'a> Ends<'a> {
    pub(super) fn all(&self, at: Span) -> impl Iterator<Item = Need<'a>> {
        let last = self.last.iter().map(move |name| Need { name, at, early: false });
        last.chain(self.assess.iter().filter(|name| !self.last.contains(name)).map(move |name| Need { name, at, early: true }))
    }

    pub(super) fn of(&self, phase: Phase) -> &[&'a str] {
        if phase == Phase::Assess && !self.assess.is_empty() { &self.assess } else { &self.last }
    }
}

/// A step as it will stand in the plan.
pub(super) struct Made<'a> {
    pub(super) node: Node<'a>,
    pub(super) name: &'a str,
    /// The id as it is written.
    pub(super) at: Span,
    /// The step of the plan by which it came.
    pub(super) by: Span,
    pub(super) phase: Phase,
    /// What it waits for, where that must be written; none: as it stands.
    pub(super) needs: Option<Vec<Need<'a>>>,
    /// Else the step above it.
    pub(super) above: Option<Need<'a>>,
    /// Whether `needs` differs from what stands in the node.
    pub(super) changed: bool,
    /// Where the key stands that says what it waits for.
    pub(super) key: Span,
}

impl<'a> Made<'a> {
    /// Whether it waits for what is before its scenario: no step of the scenario that does so comes before it. `assess` steps
    /// come first in any case, so that they hold nobody else back.
    pub(super) fn is_first(&self, assess: &HashSet<&'a str>) -> bool {
        let waits = self.needs.as_deref().or(self.above.as_slice().get(..1).filter(|_| self.above.is_some()));
        match waits {
            None => self.phase != Phase::Close,
            Some(waits) if self.phase == Phase::Assess => waits.is_empty(),
            Some(waits) => waits.iter().all(|need| assess.contains(need.name)),
        }
    }

    /// Waits for these too; an `assess` step only for such steps.
    pub(super) fn wait(&mut self, before: &[Need<'a>], assess: &HashSet<&'a str>) {
        let own = self.phase == Phase::Assess;
        let counts = |need: &&Need<'a>| if own { assess.contains(need.name) } else { !need.early };
        let more: Vec<Need<'a>> = before.iter().filter(counts).copied().collect();
        if more.is_empty() {
            return;
        }
        let needs = self.needs.get_or_insert_with(|| self.above.take().into_iter().collect());
        if needs.is_empty() {
            self.key = more[0].at;
        }
        let known: HashSet<&str> = needs.iter().map(|need| need.name).collect();
        needs.extend(more.iter().filter(|need| !known.contains(need.name)));
        self.changed = true;
    }
}

/// The steps above one that says nothing of what it waits for.
#[derive(Default)]
pub(super) struct Above<'a> {
    pub(super) here: Vec<Need<'a>>,
    pub(super) above: Vec<Need<'a>>,
    /// Whether those stand there as they are written, so that the language's own rule holds.
    pub(super) here_written: bool,
    pub(super) above_written: bool,
    pub(super) file: Option<SourceId>,
    pub(super) template: Option<(&'a str, &'a str)>,
}

impl<'a> Above<'a> {
    /// The next step that is not `close`.
    pub(super) fn next(&mut self, file: SourceId, template: Option<(&'a str, &'a str)>) {
        if self.file != Some(file) {
            *self = Above { file: Some(file), ..Above::default() };
        }
        // What one template becomes stands beside each other.
        if template.is_none() || template != self.template {
            self.above = std::mem::take(&mut self.here);
            self.above_written = self.here_written;
        }
        self.template = template;
    }
}

/// Those for which somebody waits who waits for all: that no other one waits for. And whether nothing but `close` steps are
/// there.
pub(super) fn ends<'a>(made: &[Made<'a>]) -> (Ends<'a>, bool) {
    let of = |phases: fn(Phase) -> bool| made.iter().filter(|step| phases(step.phase)).collect::<Vec<_>>();
    let (work, assess) = (of(|p| !matches!(p, Phase::Assess | Phase::Close)), of(|p| p == Phase::Assess));
    if work.is_empty() && assess.is_empty() {
        return (Ends { last: made.iter().map(|step| step.name).collect(), assess: Vec::new() }, true);
    }
    let assess = last(&assess);
    (Ends { last: if work.is_empty() { assess.clone() } else { last(&work) }, assess }, false)
}

/// Those that no other one of them waits for.
pub(super) fn last<'a>(steps: &[&Made<'a>]) -> Vec<&'a str> {
    // One of a template waits for its own kind alone.
    let whole = steps.iter().filter(|step| address(step.name).1.is_none());
    let waited: HashSet<&str> = whole.flat_map(|step| step.needs.iter().flatten().chain(&step.above)).map(|need| need.name).collect();
    let last = |step: &&&Made<'a>| !waited.contains(step.name) && !waited.contains(address(step.name).0);
    let found: Vec<&str> = steps.iter().filter(last).map(|step| step.name).collect();
    // In a circle, which is said, everybody waits for somebody.
    if found.is_empty() { steps.iter().map(|step| step.name).collect() } else { found }
}
