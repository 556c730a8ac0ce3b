//! Any bytes are a plan, or findings: never a panic, never more than 1 s and 1 s a MiB, never more memory than 32 MiB and
//! 32 times the text. A text may be several files: a line `# NAME.yaml` begins one, as in `tests/broken`.
#![no_main]

#[path = "../../tests/support/texts.rs"]
mod texts;

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
    let (plan, files) = texts::files(bytes, "plan.yaml");
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
