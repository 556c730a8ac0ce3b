//! The repairs that findings carry, over every broken plan: one that is made takes its finding away and brings no new one,
//! changes nothing else, and no plan that is good has any.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;

use drplan::analysis::rules::{Looks, find};
use drplan::compile::{Compilation, Input, compile};
use drplan::diagnostic::repair::{Repaired, repair};
use drplan::diagnostic::{Diagnostic, Edit};

const PLAN: &str = "plan.yaml";

fn plans(folder: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    // One that is not UTF-8 has no repair.
    let read = |p: &PathBuf| Some((p.file_stem()?.to_str()?.to_owned(), std::fs::read_to_string(p).ok()?));
    paths.iter().filter_map(read).collect()
}

fn compiled(text: &str) -> Compilation {
    compile(&BTreeMap::from([(PLAN.to_owned(), text.to_owned())]), PLAN, &Input::default()).unwrap()
}

fn repaired(text: &str) -> Repaired {
    let mut original = BTreeMap::from([(PLAN.to_owned(), text.to_owned())]);
    repair(|texts| {
        original.extend(texts.clone());
        let found = compile(&original, PLAN, &Input::default()).unwrap();
        Ok::<_, Infallible>((found.sources, found.findings))
    })
    .unwrap()
}

/// How often each thing is said.
fn said(plan: &Compilation) -> BTreeMap<(&'static str, String), usize> {
    let mut all = BTreeMap::new();
    plan.findings.iter().for_each(|f| *all.entry((f.rule, f.headline.clone())).or_default() += 1);
    all
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|e| std::cmp::Reverse(e.span.start));
    edits.iter().fold(text.to_owned(), |mut text, edit| {
        text.replace_range(edit.span.start as usize..edit.span.end as usize, &edit.replacement);
        text
    })
}

/// What is said now and was not before. A plan that cannot be understood is not judged: what is unwise in it comes to light
/// when it can. So does what is wrong by another rule with a value that could not be read before: on lines that were repaired.
fn new_ones(before: &Compilation, after: &Compilation, repaired: &[(usize, &str)]) -> Vec<String> {
    let judged = |rule: &str| find(rule).is_some_and(|r| !matches!(r.looks, Looks::Reading));
    let hidden = |what: &(&'static str, String)| {
        let places = after.findings.iter().filter(|f| (f.rule, &f.headline) == (what.0, &what.1));
        let mut lines = places.map(|f| after.sources.get(f.span().source).line_col(f.span().start).0);
        lines.all(|line| repaired.iter().any(|(l, rule)| *l == line && *rule != what.0))
    };
    let (understood, was) = (before.passed(), said(before));
    let more = said(after).into_iter().filter(|(what, n)| was.get(what).is_none_or(|b| b < n));
    let more = more.filter(|((rule, _), _)| understood || !judged(rule)).filter(|(what, _)| !hidden(what));
    more.map(|((rule, headline), _)| format!("{rule}: {headline}")).collect()
}

fn fixes(plan: &Compilation) -> impl Iterator<Item = (&Diagnostic, &[Edit])> {
    plan.findings.iter().filter_map(|f| Some((f, &f.fix.as_ref()?.edits[..])))
}

#[test]
fn each_takes_its_finding_away_and_brings_no_new_one() {
    let (mut made, mut wrong) = (0, Vec::new());
    for (name, text) in plans("tests/broken") {
        let before = compiled(&text);
        for (found, edits) in fixes(&before) {
            made += 1;
            let here = (before.sources.get(found.span().source).line_col(found.span().start).0, found.rule);
            let after = compiled(&edited(&text, edits));
            let count = |plan: &Compilation| said(plan).get(&(found.rule, found.headline.clone())).copied().unwrap_or(0);
            // What a text hid that could not be read at all comes to light by reading it.
            let masked = before.plan.is_none();
            if count(&after) >= count(&before) && !(masked && after.findings[0].span().start > found.span().start) {
                wrong.push(format!("{name}: {} is still there", found.headline));
            }
            if !masked {
                wrong.extend(new_ones(&before, &after, &[here]).into_iter().map(|new| format!("{name}: {} brought {new}", found.headline)));
            }
        }
    }
    assert!(made >= 30, "{made} repairs");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_together_bring_no_new_finding_and_leave_none_of_theirs() {
    let mut wrong = Vec::new();
    for (name, text) in plans("tests/broken") {
        let done = repaired(&text);
        let Some(new) = done.texts.get(PLAN) else { continue };
        let (before, after) = (compiled(&text), compiled(new));
        let masked = before.plan.is_none();
        let here: Vec<(usize, &str)> = done.made.iter().map(|m| (m.line, m.rule)).collect();
        if !masked {
            wrong.extend(new_ones(&before, &after, &here).into_iter().map(|new| format!("{name}: brought {new}")));
        }
        wrong.extend(fixes(&after).map(|(f, _)| format!("{name}: {} could still be repaired", f.headline)));
        if done.before[PLAN] != text {
            wrong.push(format!("{name}: it was not so before"));
        }
        // Lines that nothing was said about are the same, to the byte.
        let touched: Vec<usize> = done.made.iter().map(|m| m.line).collect();
        if new.lines().count() != text.lines().count() {
            wrong.push(format!("{name}: not the same lines"));
        }
        for (number, (old, new)) in text.split('\n').zip(new.split('\n')).enumerate() {
            if old != new && !touched.contains(&(number + 1)) {
                wrong.push(format!("{name}:{}: changed, and nothing said so", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lines_end_as_they_ended() {
    for (name, text) in plans("tests/broken") {
        if text.contains('\r') {
            continue;
        }
        let windows = repaired(&text.replace('\n', "\r\n")).texts.remove(PLAN);
        let unix = repaired(&text).texts.remove(PLAN);
        assert_eq!(windows, unix.map(|t| t.replace('\n', "\r\n")), "{name}");
    }
}

#[test]
fn a_byte_order_mark_and_comments_stay() {
    let text = "\u{feff}drplan: v1 # one\nname: x\nscenarios:\n  a:\n    cause: planed # two\n    steps:\n      - { id: w, uses: wait, with: { for: 1s }, takes: 1s } # three\n";
    assert_eq!(repaired(text).texts[PLAN], text.replace("planed", "planned"));
}

#[test]
fn no_good_plan_is_changed() {
    for (name, text) in plans("examples").into_iter().chain(plans("plans/quickstart")).chain(plans("plans/platform")) {
        assert_eq!(repaired(&text), Repaired::default(), "{name}");
    }
}
