//! Every plan under `examples` is good, short, and without a warning; every plan under `plans` is good.

use std::path::{Path, PathBuf};

use drplan::compile::{Compilation, Input, Loader, compile};
use drplan::diagnostic::Level;
use drplan::diagnostic::emit::{Look, human};

struct Disk;

impl Loader for Disk {
    fn plan(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|e| e.to_string())
    }

    fn file(&self, plan: &str, relative: &str) -> Option<Vec<u8>> {
        std::fs::read(Path::new(plan).parent()?.join(relative)).ok()
    }

    fn inside(&self, _plan: &str, _path: &str) -> bool {
        true
    }
}

fn yaml_under(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut open = vec![root];
    let mut found = Vec::new();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                open.push(entry);
            } else if entry.extension().is_some_and(|e| e == "yaml") && std::fs::read_to_string(&entry).unwrap().contains("\ndrplan: v1\n")
            {
                found.push(entry);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no plan under {folder}");
    found
}

fn compiled(path: &Path) -> Compilation {
    compile(&Disk, path.to_str().unwrap(), &Input::default()).unwrap()
}

#[test]
fn examples_are_good_and_short() {
    for path in yaml_under("examples") {
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
    for path in yaml_under("plans") {
        let plan = compiled(&path);
        assert!(plan.passed(), "{}", human(&plan.findings, &plan.sources, Look::default()));
        assert_eq!(plan.checked.len(), plan.scenarios);
    }
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    for path in yaml_under("examples").into_iter().chain(yaml_under("plans")) {
        let (one, two) = (compiled(&path), compiled(&path));
        for (a, b) in one.checked.iter().zip(&two.checked) {
            assert_eq!(a.to_json(), b.to_json());
            let read = drplan::analysis::Checked::from_json(&a.to_json()).unwrap();
            assert_eq!((read.digest(), read.evidence_digest()), (a.digest(), a.evidence_digest()));
        }
    }
}
