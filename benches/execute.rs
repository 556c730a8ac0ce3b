//! What running costs, beside what others need for the same. One DAG of 10 000 `/bin/true` steps, width 50, fan-in 3, by
//! this program with a durable journal, by `ninja` (which starts each command through `sh`), by `make`, and bare; then
//! what a decision costs, how soon a long run goes on, and how soon a step starts. Fails when a figure misses its bound.
//!
//! `cargo bench --bench execute -- steps deciding resume start` runs those named, or all.

#[path = "support/clock.rs"]
mod clock;
#[path = "support/watched.rs"]
mod watched;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clock::used;
use drplan::analysis::Checked;
use drplan::compile::{Input, compile};
use drplan::execute::driver::{Known, Observer, Options, POLL};
use drplan::execute::offline::{Faults, rehearse};
use drplan::execute::{Driver, Outcome, Start, State};
use drplan::journal::memory::Memory;
use drplan::journal::{Doing, End, Entry, Event, Stamped, Store, sqlite};
use drplan::world::sim::Sim;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The program's own.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Steps of the DAG, how many stand side by side, and on how many each one waits.
const STEPS: usize = 10_000;
const WIDTH: usize = 50;
const FAN_IN: usize = 3;
/// Jobs at once, and the most wall time as a multiple of ninja's.
const MOST_OVER_NINJA: [(usize, f64); 2] = [(2, 2.0), (16, 1.3)];
/// Turns of everything that is compared; the best of them counts.
const TURNS: usize = 3;
/// Steps that only the machine and the simulated world see, and the most that deciding about one may take.
const DECIDED: usize = 100_000;
const MOST_TO_DECIDE: Duration = Duration::from_micros(20);
/// Events of a run that is resumed, and the most until its next step starts.
const EVENTS: usize = 100_000;
const MOST_TO_RESUME: Duration = Duration::from_secs(1);
/// Steps of a chain at `--parallel 2`, beside another chain of sleeping ones, and the most from the end of the last
/// need of one to its start, for 99 of 100.
const CHAIN: usize = 1_000;
const MOST_TO_START: Duration = Duration::from_millis(5);

/// Measures one thing, prints it, and adds what it missed.
type Measure = fn(&mut Vec<String>);

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let mut missed = Vec::new();
    let all: [(&str, Measure); 4] = [("steps", steps), ("deciding", deciding), ("resume", resume), ("start", start)];
    for (name, measure) in all {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            measure(&mut missed);
            println!();
        }
    }
    for what in &missed {
        println!("missed: {what}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// ---------------------------------------------------------------- 10 000 steps

fn steps(missed: &mut Vec<String>) {
    println!("{STEPS} steps of /bin/true, width {WIDTH}, fan-in {FAN_IN}; wall time, the best and the median of {TURNS} turns");
    let room = Room::new("steps");
    room.write("plan.yaml", &plan(STEPS, |_| "argv: [/bin/true]".to_owned()));
    room.write("build.ninja", &ninja_file());
    room.write("Makefile", &makefile());
    let has_ninja = installed("ninja", missed);
    let has_make = installed("make", missed);
    for (jobs, most) in MOST_OVER_NINJA {
        let j = format!("-j{jobs}");
        let (mut ours, mut ninja, mut make, mut bare) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut peak = 0;
        // In turns, so that what else the machine does falls on all of them.
        for turn in 0..TURNS {
            let (took, most) = run_of(&room, jobs, turn);
            ours.push(took);
            peak = peak.max(most);
            if has_ninja {
                ninja.push(timed(&mut room.command("ninja", &[&j, "--quiet"])));
                room.remove(".ninja_log");
                room.remove(".ninja_deps");
            }
            if has_make {
                make.push(timed(&mut room.command("make", &[&j, "-s", "all"])));
            }
            bare.push(forks(jobs));
        }
        let of_ninja = |times: &[Duration]| if ninja.is_empty() { String::new() } else { format!("{:5.2} ×", best(times) / best(&ninja)) };
        let line = |name: &str, times: &[Duration], note: &str| {
            if !times.is_empty() {
                let (best, median) = (best(times), median(times));
                println!("  {jobs:>2} jobs  {name:<22} {best:7.2} s  {median:7.2} s  {:>8}  {note}", of_ninja(times));
            }
        };
        line("drplan, durable", &ours, &format!("at most {most} × ninja"));
        line("ninja", &ninja, "each command through sh");
        line("make", &make, "");
        line("fork and exec, bare", &bare, "");
        if !ninja.is_empty() && best(&ours) > most * best(&ninja) {
            missed.push(format!("{:.2} × ninja at {jobs} jobs, at most {most}", best(&ours) / best(&ninja)));
        }
        if jobs == MOST_OVER_NINJA[0].0 {
            let compiled = peak_of(&mut room.drplan(&["compile", "plan.yaml", "-o", "compiled.json"]));
            println!(
                "  {jobs:>2} jobs  peak memory {} MB, {} MB above compiling the plan",
                peak >> 10,
                peak.saturating_sub(compiled) >> 10
            );
        }
    }
    let sync = syncs(&room);
    println!("  write of 4 KiB and fdatasync, bare: {:.2} ms each", sync.as_secs_f64() * 1e3);
}

fn run_of(room: &Room, jobs: usize, turn: usize) -> (Duration, u64) {
    let journal = format!("journal-{jobs}-{turn}.db");
    let mut command = room.drplan(&["run", "plan.yaml", "--yes", "--parallel", &jobs.to_string(), "--journal", &journal]);
    let began = Instant::now();
    let mut child = command.spawn().expect("drplan starts");
    let peak = watched::to_its_end(&mut child);
    let took = began.elapsed();
    room.well(child.wait().expect("it can be waited for"));
    (took, peak)
}

fn peak_of(command: &mut Command) -> u64 {
    watched::to_its_end(&mut command.spawn().expect("it starts"))
}

fn timed(command: &mut Command) -> Duration {
    let began = Instant::now();
    assert!(command.status().expect("it starts").success(), "{command:?} failed");
    began.elapsed()
}

/// As many processes, so many at once, by whoever has nothing else to do.
fn forks(jobs: usize) -> Duration {
    let began = Instant::now();
    let mut running: VecDeque<Child> = VecDeque::new();
    for _ in 0..STEPS {
        if running.len() == jobs {
            running.pop_front().expect("there are some").wait().expect("it ends");
        }
        running.push_back(Command::new("/bin/true").spawn().expect("it starts"));
    }
    for mut child in running {
        child.wait().expect("it ends");
    }
    began.elapsed()
}

fn syncs(room: &Room) -> Duration {
    let count = 1_000;
    let mut file = File::create(room.path("synced")).expect("a file in the room");
    let began = Instant::now();
    for _ in 0..count {
        file.write_all(&[7; 4096]).expect("the disk takes it");
        file.sync_data().expect("the disk syncs");
    }
    began.elapsed() / count
}

/// On which steps a step waits.
fn needs(i: usize) -> impl Iterator<Item = usize> {
    let (layer, column) = (i / WIDTH, i % WIDTH);
    (0..FAN_IN).filter(move |_| layer > 0).map(move |k| (layer - 1) * WIDTH + (column + k) % WIDTH)
}

const HEAD: &str = "drplan: v1
name: bench
owner: on-call
contacts: { on-call: { title: On call } }
scenarios:
  s:
    cause: planned
    steps:
";

fn plan(steps: usize, with: impl Fn(usize) -> String) -> String {
    let mut text = HEAD.to_owned();
    for i in 0..steps {
        let needs: Vec<String> = needs(i).map(|n| format!("s{n}")).collect();
        writeln!(
            text,
            "      - {{ id: s{i}, uses: command, with: {{ {} }}, effect: idempotent, undo: {{ uses: command, with: {{ argv: [/bin/true] }} }}, needs: [{}], takes: 1s }}",
            with(i),
            needs.join(", ")
        )
        .expect("a text takes all");
    }
    text
}

fn ninja_file() -> String {
    let mut text = "rule t\n  command = /bin/true\n".to_owned();
    for i in 0..STEPS {
        let needs: Vec<String> = needs(i).map(|n| format!("s{n}")).collect();
        writeln!(text, "build s{i}: t {}", needs.join(" ")).expect("a text takes all");
    }
    text
}

fn makefile() -> String {
    let all: Vec<String> = (0..STEPS).map(|i| format!("s{i}")).collect();
    let mut text = format!(".PHONY: all {0}\nall: {0}\n", all.join(" "));
    for i in 0..STEPS {
        let needs: Vec<String> = needs(i).map(|n| format!("s{n}")).collect();
        writeln!(text, "s{i}: {}\n\t@/bin/true", needs.join(" ")).expect("a text takes all");
    }
    text
}

fn installed(tool: &str, missed: &mut Vec<String>) -> bool {
    let there = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !there {
        println!("  {tool} is NOT INSTALLED: nothing was compared with it (apt-get install ninja-build make)");
        missed.push(format!("{tool} is not installed"));
    }
    there
}

// ---------------------------------------------------------------- deciding

fn deciding(missed: &mut Vec<String>) {
    let checked = Arc::new(checked(&plan(DECIDED, |_| "argv: [set, x, y]".to_owned())));
    let (done, decided) = used(|| rehearse(&checked, &Faults::default()).expect("the machine does not go in a circle"));
    assert_eq!(done.end, Some(End::Good));
    let each = decided / DECIDED as u32;
    println!("{DECIDED} steps decided and folded:             {:6.1} µs a step, at most {} µs", micros(each), micros(MOST_TO_DECIDE));
    if each > MOST_TO_DECIDE {
        missed.push(format!("{:.1} µs to decide about a step", micros(each)));
    }
    let (outcome, driven) = used(|| simulated(&checked));
    assert_eq!(outcome, Outcome::Ended(End::Good));
    println!(
        "the same, driven in the simulated world:   {:6.1} µs a step, its journal and its commands included",
        micros(driven / DECIDED as u32)
    );
}

fn simulated(checked: &Arc<Checked>) -> Outcome {
    let sim = Sim::new(1);
    let world = sim.world();
    let memory = Arc::new(Memory::default());
    let run = async {
        let event = Start { incident_start: world.clock.now(), ..Start::default() }.of(checked);
        memory.create("bench", (world.clock.now(), event)).await.expect("a new run");
        let entries = memory.read("bench", 0).await.expect("it was written just now");
        let state = State::bound("bench", &entries, checked).expect("a run that begins");
        let options = options(Some(Known { entries, state }));
        Driver::drive(world.clone(), memory.clone(), "bench", options, &mut Nobody).await.1
    };
    sim.block_on(run).expect("nothing kills it")
}

/// Looks at nothing.
struct Nobody;

impl Observer for Nobody {
    fn entry(&mut self, _: &Entry, _: &State) {}
    fn tick(&mut self, _: &State, _: Timestamp) {}
}

fn options(known: Option<Known>) -> Options {
    Options {
        holder: "bench@here pid 1".to_owned(),
        wait_for_people: false,
        remind: Duration::from_secs(300),
        poll: POLL,
        stop: Arc::new(AtomicU8::new(0)),
        known,
    }
}

// ---------------------------------------------------------------- resume

fn resume(missed: &mut Vec<String>) {
    let room = Room::new("resume");
    let done = EVENTS / 3;
    let first = room.path("first");
    // Every step but those of the last layer is done; the first of them to start leaves a file.
    let with = |i: usize| if i < done { "argv: [/bin/true]".to_owned() } else { format!("argv: [touch, \"{}\"]", first.display()) };
    let checked = checked(&plan(done + 1, with));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let runs: Vec<String> = (0..TURNS).map(|turn| format!("bench-{turn}")).collect();
    runtime.block_on(written(&room, &checked, done, &runs));
    let mut times = Vec::new();
    for run in &runs {
        std::fs::create_dir_all(room.path(&format!("journal.db.d/{run}"))).expect("the disk has room");
        // The page that whoever drove before had left.
        room.write(&format!("journal.db.d/{run}.md"), "ticked\n");
        room.remove("first");
        let began = Instant::now();
        let mut child = room.drplan(&["resume", run, "--yes", "--journal", "journal.db"]).spawn().expect("drplan starts");
        while !first.exists() {
            if let Some(ended) = child.try_wait().expect("it can be waited for") {
                room.well(ended);
            }
            sleep(Duration::from_micros(200));
        }
        times.push(began.elapsed());
        room.well(child.wait().expect("it can be waited for"));
    }
    println!(
        "resume of {EVENTS} events to the first command's own work: {:.2} s best, {:.2} s median, at most {} s",
        best(&times),
        median(&times),
        MOST_TO_RESUME.as_secs_f64()
    );
    if best(&times) > MOST_TO_RESUME.as_secs_f64() {
        missed.push(format!("{:.2} s to resume", best(&times)));
    }
}

/// A journal with runs in which so many steps are done, three events each.
async fn written(room: &Room, checked: &Checked, done: usize, runs: &[String]) {
    let store = sqlite::open(&room.path("journal.db")).await.expect("a new journal");
    let at = Timestamp::now();
    let dir = room.dir.to_string_lossy().into_owned();
    let begun =
        Start { dir, operator: "bench@here".to_owned(), host: "here".to_owned(), incident_start: at, ..Start::default() }.of(checked);
    let events = (0..done).flat_map(|i| {
        let (step, doing, attempt) = (format!("s{i}"), Doing::Apply, 1);
        let key = format!("bench/s{i}/apply");
        let inputs = "0".repeat(64);
        let outputs = Map::from_iter([("exit".to_owned(), Value::from(0))]);
        [
            Event::Ready { step: step.clone() },
            Event::Intent { step: step.clone(), doing, attempt, key, inputs, timeout_ms: None, settles_ms: 0, before: Value::Null },
            Event::Done { step, doing, attempt, outputs, found: false },
        ]
    });
    let events: Vec<Stamped> = events.map(|event| (at, event)).collect();
    for run in runs {
        let mut head = store.create(run, (at, begun.clone())).await.expect("a new run");
        for some in events.chunks(3_000) {
            head = store.append(run, &head, None, some).await.expect("the journal takes it");
        }
    }
}

// ---------------------------------------------------------------- start

fn start(missed: &mut Vec<String>) {
    let room = Room::new("start");
    let mut text = HEAD.to_owned();
    for i in 0..CHAIN {
        let need = |of: &str| if i == 0 { String::new() } else { format!("{of}{}", i - 1) };
        // What a step says as the first thing that it does is when it started.
        writeln!(
            text,
            "      - {{ id: c{i}, uses: command, with: {{ argv: [date, +%s%6N] }}, effect: read, outputs: {{ at: {{ type: int, pattern: \"[0-9]+\" }} }}, needs: [{}], takes: 1s }}\n      - {{ id: z{i}, uses: command, with: {{ argv: [sleep, \"0.01\"] }}, effect: read, needs: [{}], takes: 1s }}",
            need("c"),
            need("z")
        )
        .expect("a text takes all");
    }
    room.write("plan.yaml", &text);
    let mut command = room.drplan(&["run", "plan.yaml", "--yes", "--parallel", "2", "--journal", "journal.db"]);
    room.well(command.status().expect("drplan starts"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let entries = runtime.block_on(async {
        let store = sqlite::open(&room.path("journal.db")).await.expect("the journal is there");
        let run = store.runs().await.expect("it can be read").remove(0).id;
        store.read(&run, 0).await.expect("it can be read")
    });
    let mut waits = Vec::new();
    let mut last: Option<i64> = None;
    for entry in &entries {
        let Event::Done { step, outputs, .. } = &entry.event else { continue };
        if !step.starts_with('c') {
            continue;
        }
        let began = outputs["at"].as_i64().expect("it is a number");
        waits.extend(last.map(|done| Duration::from_micros(u64::try_from(began - done).unwrap_or(0))));
        last = Some(entry.at.as_microsecond());
    }
    assert_eq!(waits.len(), CHAIN - 1);
    waits.sort();
    let at = |part: usize| waits[waits.len() * part / 100].as_secs_f64() * 1e3;
    println!(
        "from the end of a step's last need to its own first act, 2 at once beside sleeping steps: {:.2} ms median, {:.2} ms p99, at most {} ms",
        at(50),
        at(99),
        MOST_TO_START.as_millis()
    );
    if at(99) > MOST_TO_START.as_secs_f64() * 1e3 {
        missed.push(format!("{:.2} ms p99 to start a step", at(99)));
    }
}

// ---------------------------------------------------------------- what they share

fn checked(text: &str) -> Checked {
    let texts = std::collections::BTreeMap::from([("plan.yaml".to_owned(), text.to_owned())]);
    let mut found = compile(&texts, "plan.yaml", &Input::default()).expect("the text is there");
    assert!(found.passed(), "{}", drplan::diagnostic::emit::short(&found.findings, &found.sources));
    found.checked.remove(0)
}

/// A directory on the disk that the target stands on, gone at the end.
struct Room {
    dir: PathBuf,
}

impl Room {
    fn new(name: &str) -> Room {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("execute-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory in the target");
        Room { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the disk has room");
    }

    fn remove(&self, name: &str) {
        // It need not be there.
        let _ = std::fs::remove_file(self.path(name));
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn drplan(&self, args: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_drplan"), args);
        command.env("HOME", &self.dir).env_remove("XDG_STATE_HOME").env_remove("DRPLAN_JOURNAL");
        command.stderr(File::create(self.path("said")).expect("a file in the room"));
        command
    }

    fn well(&self, ended: ExitStatus) {
        let said = std::fs::read_to_string(self.path("said")).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(20).collect();
        assert!(ended.success(), "drplan ended with {ended}; the last that it said, backwards:\n{}", last.join("\n"));
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn best(times: &[Duration]) -> f64 {
    times.iter().min().map_or(f64::NAN, Duration::as_secs_f64)
}

fn median(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
