//! Every plan under `examples` is good, short, and without a warning; every plan under `plans` is good.

#[path = "support/folder.rs"]
mod folder;
#[path = "support/plans.rs"]
mod plans;

use std::path::Path;

use drplan::compile::{Compilation, Input, compile};
use drplan::diagnostic::Level;
use drplan::diagnostic::emit::{Look, human};
use folder::Folder;
use plans::plans;

fn compiled(path: &Path) -> Compilation {
    compile(&Folder::default(), path.to_str().unwrap(), &Input::default()).unwrap()
}

#[test]
fn examples_are_good_and_short() {
    for path in plans(&["examples"]) {
        let plan = compiled(&path);
        let allowed = plan.findings.iter().all(|f| f.level == Level::Allow);
        assert!(allowed, "{}", human(&plan.findings, &plan.sources, Look::default()));
        assert!(!plan.checked.is_empty());
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 30, "{}: {lines} lines", path.display());
    }
}

#[test]
fn plans_are_good() {
    for path in plans(&["plans"]) {
        let plan = compiled(&path);
        assert!(plan.passed(), "{}", human(&plan.findings, &plan.sources, Look::default()));
        assert_eq!(plan.checked.len(), plan.scenarios);
    }
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    for path in plans(&["examples", "plans"]) {
        let (one, two) = (compiled(&path), compiled(&path));
        for (a, b) in one.checked.iter().zip(&two.checked) {
            assert_eq!(a.to_json(), b.to_json());
            let read = drplan::analysis::Checked::from_json(&a.to_json()).unwrap();
            assert_eq!((read.digest(), read.evidence_digest()), (a.digest(), a.evidence_digest()));
        }
    }
}
