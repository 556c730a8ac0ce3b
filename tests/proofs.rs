//! Plans with one defect each, written before the rules, from what people wrote down and from what has happened: each is found
//! by the right rule at the right place, with the places of its chain, and nothing else is found; beside each the same plan
//! with that one defect mended, in which nothing is found at all.
//!
//! `NN-words.yaml` ends with `# expect: LINE:COL rule` and, where the finding shows more than its own place, with
//! `# chain: LINE:COL -> LINE:COL …`, the places in the order in which they are told. `NN-words.good.yaml` is its twin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drplan::compile::{Compilation, Input, compile};
use drplan::diagnostic::Diagnostic;
use drplan::diagnostic::emit::{Look, human};

/// A defect and its twin.
struct Pair {
    name: String,
    defect: String,
    twin: String,
}

/// Every pair of a folder.
fn pairs(folder: &str) -> Vec<Pair> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proofs").join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let name = |p: &PathBuf| p.file_name().unwrap().to_str().unwrap().to_owned();
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_else(|e| panic!("{folder}/{name}: {e}"));
    let (twins, defects): (Vec<String>, Vec<String>) = paths.iter().map(name).partition(|n| n.ends_with(".good.yaml"));
    assert_eq!(twins.len(), defects.len(), "each defect in {folder} has a twin, and each twin a defect");
    let pair = |defect: String| {
        let name = defect.strip_suffix(".yaml").unwrap().to_owned();
        Pair { defect: read(&defect), twin: read(&format!("{name}.good.yaml")), name }
    };
    defects.into_iter().map(pair).collect()
}

fn compiled(name: &str, text: &str) -> Compilation {
    let path = format!("{name}.yaml");
    let input = Input { today: Some(jiff::civil::date(2026, 11, 21)), ..Input::default() };
    compile(&BTreeMap::from([(path.clone(), text.to_owned())]), &path, &input).unwrap()
}

fn drawn(plan: &Compilation) -> String {
    human(&plan.findings, &plan.sources, Look::default())
}

/// What a finding says of its places: the rule at its own, and the chain if there is more than that one.
fn told(plan: &Compilation, found: &Diagnostic) -> Vec<String> {
    let place = |n: usize| {
        let span = found.labels[n].span;
        let (line, column) = plan.sources.get(span.source).line_col(span.start);
        format!("{line}:{column}")
    };
    let all: Vec<String> = (0..found.labels.len()).map(place).collect();
    let chain = (all.len() > 1).then(|| format!("chain: {}", all.join(" -> ")));
    std::iter::once(format!("expect: {} {}", all[0], found.rule)).chain(chain).collect()
}

/// Every defect of a folder is found as it says, and nothing in any twin.
fn proved(folder: &str, least: usize) {
    let all = pairs(folder);
    assert!(all.len() >= least, "{} pairs in {folder}, of {least}", all.len());
    let mut wrong = Vec::new();
    for Pair { name, defect, twin } in &all {
        let said: Vec<&str> =
            defect.lines().filter_map(|l| l.strip_prefix("# ")).filter(|l| l.starts_with("expect: ") || l.starts_with("chain: ")).collect();
        let plan = compiled(name, defect);
        let found: Vec<String> = plan.findings.iter().flat_map(|f| told(&plan, f)).collect();
        if said.is_empty() || found != said {
            wrong.push(format!("{folder}/{name}: expected {said:#?}, found {found:#?}\n{}", drawn(&plan)));
        }
        let whole = compiled(name, twin);
        if !whole.findings.is_empty() || whole.checked.is_empty() {
            wrong.push(format!("{folder}/{name}.good: nothing is wrong with it, and this was found:\n{}", drawn(&whole)));
        }
    }
    let (found, all) = (all.len() - wrong.len().min(all.len()), all.len());
    assert!(wrong.is_empty(), "{}\n{} things are wrong in {folder}", wrong.join("\n\n"), wrong.len());
    println!("{folder}: {found} of {all} defects found with their chains, nothing found in {all} twins");
}

#[test]
fn backup_policies() {
    proved("policies", 40);
}

#[test]
fn failure_domains() {
    proved("domains", 20);
}

#[test]
fn bad_states() {
    proved("states", 20);
}
