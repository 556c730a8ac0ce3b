//! Texts that were written to be too much: each is read within a second and a second for each MiB, gives findings that a
//! person can still read, and takes little memory.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

use std::collections::BTreeMap;
use std::time::Duration;

use drplan::compile::{Compilation, Input, compile};
use drplan::diagnostic::emit::{Look, human};

const MIB: usize = 1 << 20;
const HEAD: &str = "drplan: v1\nname: notes\n";
const TAIL: &str = "scenarios:\n  move:\n    cause: planned\n    steps:\n      - { id: look, uses: http.check, with: { url: \"https://example.com/\" }, takes: 5s }\n";

/// What this thread has used of the processor: others may want it too.
fn used() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Compiles and draws a text, in time.
fn read(what: &str, text: String) -> Compilation {
    let bytes = text.len();
    let files = BTreeMap::from([("plan.yaml".to_owned(), text)]);
    let begin = used();
    let plan = compile(&files, "plan.yaml", &Input::default()).unwrap();
    let drawn = human(&plan.findings, &plan.sources, Look::default());
    let (took, most) = (used() - begin, Duration::from_secs(1 + bytes.div_ceil(MIB) as u64));
    println!("{what}: {} KiB, {} findings, {took:?}", bytes / 1024, plan.findings.len());
    assert!(took < most, "{what}: {took:?}, and may take {most:?}");
    assert!(plan.findings.len() <= 10_001, "{what}: {} findings", plan.findings.len());
    assert!(drawn.len() < 200_000, "{what}: {} bytes are drawn", drawn.len());
    plan
}

fn rules(plan: &Compilation) -> Vec<&'static str> {
    let mut all: Vec<&str> = plan.findings.iter().map(|f| f.rule).collect();
    all.dedup();
    all
}

fn with(section: &str) -> String {
    format!("{HEAD}{section}{TAIL}")
}

#[test]
fn brackets() {
    assert_eq!(rules(&read("8 MiB of [", "[".repeat(8 * MIB))), ["too-deep"]);
    assert_eq!(rules(&read("8 MiB of {", "{".repeat(8 * MIB))), ["too-deep"]);
    assert_eq!(rules(&read("a MiB of - ", "- ".repeat(MIB / 2))), ["too-deep"]);
    assert_eq!(rules(&read("a MiB of ? ", "? ".repeat(MIB / 2))), ["too-deep"]);
    assert_eq!(rules(&read("one byte too many", "#".repeat(64 * MIB + 1))), ["too-large"]);
}

#[test]
fn texts_without_end() {
    assert!(read("a text of 16 MiB", with(&format!("title: {}\n", "x".repeat(16 * MIB)))).passed());
    assert_eq!(rules(&read("a quote of 16 MiB", format!("{HEAD}title: \"{}", "x ".repeat(8 * MIB)))), ["unclosed-quote"]);
    assert_eq!(rules(&read("a name of 5 MB", with(&format!("owner: {}\n", "x".repeat(5_000_000))))), ["bad-id"]);
    read("a key of 5 MB", with(&format!("? {}\n: 1\n", "x".repeat(5_000_000))));
    assert_eq!(
        rules(&read("a reference of 5 MB", with(&format!("title: \"${{params.{}}}\"\n", "x".repeat(5_000_000))))),
        ["unknown-reference"]
    );
    read("a million open references", with(&format!("title: \"{}\"\n", "${".repeat(1_000_000))));
    assert_eq!(rules(&read("a comment of 32 MiB", format!("#{}\n{}", "x".repeat(32 * MIB), with("")))), Vec::<&str>::new());
    let line: String = (0..200_000).map(|i| format!("k{i}: no, ")).collect();
    read("a line of 2 MB", with(&format!("sites: {{ {line} }}\n")));
}

#[test]
fn keys() {
    let many: String = (0..300_000).map(|i| format!("  s{i}: {{}}\n")).collect();
    assert!(read("300 000 sites", with(&format!("sites:\n{many}"))).plan.is_some());
    let twice = "  s: {}\n".repeat(300_000);
    assert_eq!(rules(&read("one key 300 000 times", with(&format!("sites:\n{twice}")))), ["duplicate-key"]);
    let unknown: String = (0..40_000).map(|i| format!("key{i}: 1\n")).collect();
    assert_eq!(rules(&read("40 000 unknown keys", with(&unknown))), ["unknown-key", "too-large"]);
}

#[test]
fn aliases() {
    let mut chain = "a0: &a0 { x: 1 }\n".to_owned();
    (1..5_000).for_each(|i| chain.push_str(&format!("a{i}: &a{i} {{ <<: *a{}, k{i}: 1 }}\n", i - 1)));
    assert!(rules(&read("5 000 merge keys", format!("{HEAD}{chain}"))).contains(&"merge-key"));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    (1..20).for_each(|i| bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "))));
    assert_eq!(rules(&read("a bomb", format!("{HEAD}{bomb}"))), ["too-large"]);
    let mut wide = format!("params:\n  a: {{ default: &a {} }}\n", "[".repeat(55) + &"x, ".repeat(2_000) + "x" + &"]".repeat(55));
    (0..490).for_each(|i| wide.push_str(&format!("  b{i}: {{ default: *a }}\n")));
    read("deep, and almost a million values behind aliases", with(&wide));
    let anchors: String = (0..50_000).map(|i| format!("&a{i} ")).map(|a| format!("- {a}x\n")).collect();
    read("50 000 anchors", anchors + "- *nobody\n");
}

#[test]
fn mistakes_without_end() {
    let steps: String = (0..3_000)
        .map(|i| format!("      - {{ id: s{i}, needs: [t{i}], asset: q{i}, uses: sqlit.check{i}, takes: {i}, titel: 1, with: {{ a: \"${{steps.u{i}.x}}\" }} }}\n"))
        .collect();
    let text = format!(
        "{HEAD}assets:\n{}scenarios:\n  move:\n    cause: planned\n    steps:\n{steps}",
        (0..5_000).map(|i| format!("  a{i}: {{ kind: host, tier: none }}\n")).collect::<String>()
    );
    let plan = read("3 000 steps with five mistakes each", text);
    assert!(plan.findings.len() > 1_000);
    let references: String = (0..10_000).map(|i| format!("${{params.q{i}}} ")).collect();
    let params: String = (0..5_000).map(|i| format!("  p{i}: {{ default: x }}\n")).collect();
    read("10 000 unknown references in one text", with(&format!("params:\n{params}title: \"{references}\"\n")));
    let tokens = "ghp_0123456789abcdefghijABCDEFGHIJ012345 ".repeat(5_000);
    let plan = read("5 000 tokens", with(&format!("title: {tokens}\n")));
    assert!(!human(&plan.findings, &plan.sources, Look::default()).contains("ghp_"));
    let hidden = "a\u{202e}b ".repeat(100_000);
    read("100 000 characters that turn", with(&format!("title: {hidden}\n# {hidden}\n")));
}
