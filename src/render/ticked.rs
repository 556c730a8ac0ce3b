//! The runbook of a run: the same page with its boxes ticked, so that people can go on by hand. It is told what became
//! of each step and does not know events.

use std::collections::BTreeMap;

use serde::Serialize;

use super::runbook::{Page, StepView, TEMPLATES, Used, block, page, step_view, variables};
use super::view;
use crate::actions::shell;
use crate::analysis::Checked;

const COMPILED_IN: &str = "the templates are compiled in, and a test renders every branch of them";

/// How far a run has come, for its page; of no run unless something stands in it. Texts are as they are: the page
/// makes them harmless.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Where the run stands, in sentences.
    pub run: Vec<String>,
    /// By index in the scenario; steps that are missing have not begun.
    pub steps: BTreeMap<usize, Tick>,
    /// What a run has for the references of a plan, by their path: `run.id`, `steps.find.key`.
    pub known: BTreeMap<String, String>,
}

/// What became of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tick {
    /// It is done, and nobody needs to do it again.
    pub done: bool,
    /// What happened, in order.
    pub said: Vec<Said>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// In one word: `done`, `unknown`.
    pub word: &'static str,
    /// When, by whom, why.
    pub text: String,
}

/// A page that is printed again and again: of its steps only those that changed are written anew.
pub struct Runbook {
    page: Page,
    used: Used,
    steps: Vec<Part>,
}

struct Part {
    index: usize,
    view: StepView,
    tick: Tick,
    text: String,
}

impl Runbook {
    /// The page of a plan of which nothing is done.
    pub fn of(checked: &Checked) -> Runbook {
        let compiled = checked.compiled();
        let order = view::order(checked);
        let numbers = view::numbers(&order);
        let expected = view::expected(checked);
        let used = view::used(compiled);
        let part = |&index: &usize| {
            let view = step_view(compiled, &used, &numbers, index, expected.start_ms[index]);
            let text = written(&view);
            Part { index, view, tick: Tick::default(), text }
        };
        let steps = order.iter().map(part).collect();
        Runbook { page: page(checked, &numbers, &expected), used, steps }
    }

    /// The page as of now. The plan is the one that the page was made of.
    pub fn text(&mut self, checked: &Checked, progress: &Progress) -> String {
        let compiled = checked.compiled();
        let known: BTreeMap<String, String> = progress.known.iter().map(|(path, value)| (shell::variable(path), value.clone())).collect();
        if self.page.run != progress.run {
            self.page.run.clone_from(&progress.run);
            self.page.variables = variables(compiled, &known);
        }
        let mut out = TEMPLATES.render("runbook", &self.page).expect(COMPILED_IN);
        for part in &mut self.steps {
            if let Some(tick) = progress.steps.get(&part.index).filter(|tick| **tick != part.tick) {
                let step = &compiled.scenario.steps[part.index];
                let noted = view::noted(&self.used, step).into_iter();
                let found: Vec<String> =
                    noted.filter_map(|v| Some(format!("export {}={}", v.name, shell::literal(known.get(&v.name)?)))).collect();
                part.view.found = (!found.is_empty()).then(|| block("", "sh set", &found.join("\n"), ""));
                part.view.notes_known(&known);
                part.view.ticked = tick.done;
                part.view.said.clone_from(&tick.said);
                part.tick = tick.clone();
                part.text = written(&part.view);
            }
            out.push_str(&part.text);
        }
        out
    }
}

fn written(view: &StepView) -> String {
    TEMPLATES.render("step", view).expect(COMPILED_IN)
}
