//! How long it takes to check a large plan, beside what its parser alone needs for the same bytes. Fails when checking
//! costs more than its bounds, so that `cargo bench` is a test too.

#[path = "support/clock.rs"]
mod clock;
#[path = "support/company.rs"]
mod company;
#[path = "support/parsing.rs"]
mod parsing;
#[path = "support/watched.rs"]
mod watched;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use company::{PATH, plan};
use drplan::compile::{Input, compile};
use parsing::{best, ms, parsing};

/// The program's own.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// All of `check` on 10 000 steps, as a multiple of bare parser events.
const MOST_OVER_EVENTS: f64 = 4.0;
/// 100 000 steps, as a multiple of 10 000.
const MOST_GROWTH: f64 = 11.0;
/// Findings in one large plan, and how long it may take until they are printed, in both forms for people.
const FINDINGS: usize = 2_000;
const MOST_PRINTING_MS: f64 = 1_000.0;
/// A process that checks 200 steps, as a multiple of one that prints its version.
const MOST_OVER_START: f64 = 3.0;
/// Bytes that a process holds at most while it checks 100 000 steps, as a multiple of the text.
const MOST_OVER_TEXT: f64 = 16.0;

fn main() -> ExitCode {
    let small = plan(10_000);
    let large = plan(100_000);
    let events = parsing(&small);
    let small_check = best(|| check(&small));

    let over_events = small_check.as_secs_f64() / events.as_secs_f64();
    println!("parser events,  10 000 steps, {:.1} MB: {:>8.1} ms", mb(&small), ms(events));
    println!(
        "check,          10 000 steps, {:.1} MB: {:>8.1} ms, {over_events:.2} × its parser events (at most {MOST_OVER_EVENTS})",
        mb(&small),
        ms(small_check)
    );
    let broken = broken();
    let draw = best(|| assert!(printed(&broken) >= FINDINGS));
    println!(
        "printing,     {FINDINGS} findings, {:.1} MB: {:>8.1} ms, checked, drawn and listed (at most {MOST_PRINTING_MS})",
        mb(&broken),
        ms(draw)
    );
    let Processes { start, few, ten, hundred, held } = as_processes(&small, &large);
    println!("a process, `--version`:                {:>8.1} ms", ms(start));
    let over_start = few.as_secs_f64() / start.as_secs_f64();
    println!("a process, `check` of 200 steps:       {:>8.1} ms, {over_start:.2} × that (at most {MOST_OVER_START})", ms(few));
    let growth = hundred.as_secs_f64() / ten.as_secs_f64();
    println!("a process, `check` of 10 000 steps:    {:>8.1} ms", ms(ten));
    println!("a process, `check` of 100 000 steps:   {:>8.1} ms, {growth:.2} × that (at most {MOST_GROWTH})", ms(hundred));
    let over_text = held as f64 / large[PATH].len() as f64;
    println!(
        "a process, `check` of 100 000 steps:   {:>8.1} MB held at most, {over_text:.1} × the text (at most {MOST_OVER_TEXT})",
        held as f64 / 1e6
    );
    let dear = over_start > MOST_OVER_START || over_text > MOST_OVER_TEXT;
    if dear || over_events > MOST_OVER_EVENTS || growth > MOST_GROWTH || ms(draw) > MOST_PRINTING_MS {
        println!("too slow");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Everything that `drplan check` does but reading the file and printing: every finding is drawn, too.
fn check(text: &BTreeMap<String, String>) {
    let found = compile(text, PATH, &Input::default()).expect("the text is there");
    assert!(found.passed() && found.checked.len() == 1, "{}", drplan::diagnostic::emit::short(&found.findings, &found.sources));
    std::hint::black_box(drplan::diagnostic::emit::short(&found.findings, &found.sources));
}

/// The program itself: how long `--version` and `check` of 200, 10 000 and 100 000 steps take, and the bytes that the last held.
struct Processes {
    start: Duration,
    few: Duration,
    ten: Duration,
    hundred: Duration,
    held: u64,
}

fn as_processes(small: &BTreeMap<String, String>, large: &BTreeMap<String, String>) -> Processes {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("it can be written");
        path
    };
    let few = file("few.yaml", &plan(200)[PATH]);
    let (ten, hundred) = (file("ten.yaml", &small[PATH]), file("hundred.yaml", &large[PATH]));
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drplan"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let run = |command: &mut Command| assert!(command.status().expect("it can be started").success());
    let quick = |args: &[&OsStr]| (0..20).map(|_| timed(|| run(program().args(args)))).min().unwrap_or_default();
    let check = |path: &Path| quick(&["check".as_ref(), path.as_os_str()]);
    let mut child = program().arg("check").arg(&hundred).spawn().expect("it can be started");
    let held = watched::to_its_end(&mut child) << 10;
    Processes { start: quick(&["--version".as_ref()]), few: check(&few), ten: check(&ten), hundred: check(&hundred), held }
}

/// A plan of 5 MB in which one of six steps has a mistake.
fn broken() -> BTreeMap<String, String> {
    let mut text = plan(13_000);
    let whole = text.remove(PATH).expect("it is there");
    text.insert(PATH.to_owned(), whole.replace("when_unreachable: ask", "when_unreachable: aks").replace("factor: 2,", "factr: 2,"));
    text
}

/// Checks a plan and prints what was found as `--format human` and `--format short` do; how many lines the second has.
fn printed(text: &BTreeMap<String, String>) -> usize {
    use drplan::diagnostic::emit::{Look, human, short};
    let found = compile(text, PATH, &Input::default()).expect("the text is there");
    std::hint::black_box(human(&found.findings, &found.sources, Look { colour: true, width: 80, ..Look::default() }));
    short(&found.findings, &found.sources).lines().count()
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn mb(text: &BTreeMap<String, String>) -> f64 {
    text[PATH].len() as f64 / 1e6
}
