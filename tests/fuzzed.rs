//! What the fuzzer found once stays mended: any bytes are a plan, or findings, and each can be drawn.

use std::collections::BTreeMap;

use drplan::compile::{Input, compile};
use drplan::diagnostic::emit::{Look, human, short};

#[test]
fn what_was_found_once_is_a_plan_or_findings() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/found");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let files = BTreeMap::from([("plan.yaml".to_owned(), std::fs::read(&path).unwrap())]);
        let found = compile(&files, "plan.yaml", &Input::default()).unwrap();
        assert!(found.plan.is_some() || !found.findings.is_empty(), "{}", path.display());
        short(&found.findings, &found.sources);
        human(&found.findings, &found.sources, Look::default());
        seen += 1;
    }
    assert!(seen > 0, "nothing stands in {folder}");
}
