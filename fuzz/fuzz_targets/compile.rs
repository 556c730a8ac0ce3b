//! Any bytes are a plan, or findings: never a panic, never more than 1 s and 1 s a MiB, never more memory than 32 MiB and
//! 32 times the text. A text may be several files: a line `# NAME.yaml` begins one, as in `tests/broken`.
#![no_main]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use drplan::compile::{Input, compile};
use drplan::diagnostic::emit::{Look, human, short};
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fuzz_target!(|bytes: &[u8]| {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let began = Instant::now();
    let (plan, files) = files(bytes);
    let found = compile(&files, &plan, &Input::default()).expect("the text is there");
    let took = began.elapsed();
    let most = MEMORY.peak_usage().saturating_sub(before);
    assert!(found.plan.is_some() || !found.findings.is_empty(), "neither a plan nor a finding");
    assert!(took <= Duration::from_secs(1) + Duration::from_micros(bytes.len() as u64), "{took:?} for {} bytes", bytes.len());
    assert!(most <= (32 << 20) + 32 * bytes.len(), "{most} bytes for a text of {}", bytes.len());
    // Every place is one in its text: what draws it would panic otherwise.
    short(&found.findings, &found.sources);
    human(&found.findings, &found.sources, Look::default());
    for checked in &found.checked {
        assert!(!checked.digest().is_empty());
    }
});

fn files(bytes: &[u8]) -> (String, BTreeMap<String, Vec<u8>>) {
    let mut all: Vec<(String, Vec<u8>)> = vec![("plan.yaml".to_owned(), Vec::new())];
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let name = std::str::from_utf8(line).ok().and_then(|l| l.strip_prefix("# ")).map(str::trim_end);
        if let Some(name) = name.filter(|n| n.ends_with(".yaml") && !n.contains(' ')) {
            all.push((name.to_owned(), Vec::new()));
        }
        all.last_mut().expect("there is one").1.extend_from_slice(line);
    }
    // The first that has a name of its own is the plan, if nothing stands above it.
    if all.len() > 1 && all[0].1.is_empty() {
        all.remove(0);
    }
    (all[0].0.clone(), all.into_iter().collect())
}
