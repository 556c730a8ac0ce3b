//! Random plans with all that the language has for the order and the time of a recovery. They know nothing of schedules.

use std::collections::BTreeSet;
use std::fmt::Write;

use drplan::analysis::Checked;
use drplan::compile::{Compilation, Input, compile};
use std::collections::BTreeMap;

/// A small generator of its own, so that what a seed means does not change with a library.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % n.max(1)
    }

    pub fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    fn now_and_then(&mut self, one_of: u64) -> bool {
        self.below(one_of) == 0
    }
}

/// What a random plan may hold.
#[derive(Clone, Copy)]
pub struct Taste {
    /// At most so many steps.
    pub steps: u64,
    /// Steps take so many milliseconds at most, in multiples of `grain_ms`.
    pub longest_ms: u64,
    pub grain_ms: u64,
    /// Only what runs to its end by itself whatever it finds: no conditions, nothing that takes no time.
    pub plain: bool,
}

/// The plan of a seed: the first of its drafts that checks, with how many were refused.
pub fn plan(seed: u64, taste: Taste) -> (Checked, u64) {
    let (_, _, checked, refused) = drafted(seed, taste);
    (checked, refused)
}

/// The plan of a seed as it is written, and as what it is compiled.
pub fn written(seed: u64, taste: Taste) -> (String, Input, Checked) {
    let (text, input, checked, _) = drafted(seed, taste);
    (text, input, checked)
}

fn drafted(seed: u64, taste: Taste) -> (String, Input, Checked, u64) {
    let mut dice = Dice::new(seed);
    for refused in 0..200 {
        let (text, input) = draft(&mut dice, taste);
        if let Some(checked) = compiled(&text, &input).checked.into_iter().next() {
            return (text, input, checked, refused);
        }
    }
    let (text, input) = draft(&mut dice, taste);
    let found = compiled(&text, &input);
    panic!("seed {seed}: of two hundred plans none checks\n{text}\n{:#?}", found.findings);
}

pub fn compiled(text: &str, input: &Input) -> Compilation {
    let files = BTreeMap::from([("plan.yaml".to_owned(), text.to_owned())]);
    compile(&files, "plan.yaml", input).unwrap()
}

fn draft(dice: &mut Dice, taste: Taste) -> (String, Input) {
    let mut text = String::from("drplan: v1\nname: random\nowner: lead\ncontacts: { lead: { title: Lead } }\n");
    text.push_str("tiers: { gold: { rto: 1m }, silver: { rto: 10m } }\nassets:\n");
    let assets = 1 + dice.below(6);
    for a in 0..assets {
        let mut on = BTreeSet::new();
        (0..dice.below(3)).filter(|_| a > 0).for_each(|_| {
            on.insert(dice.below(a));
        });
        let on: Vec<String> = on
            .into_iter()
            .map(|b| if dice.now_and_then(4) { format!("{{ asset: a{b}, strength: weak }}") } else { format!("a{b}") })
            .collect();
        let rebuild = if a > 0 && dice.now_and_then(6) {
            format!(", rebuild: {{ from: a{}, within: 1h, takes: 1m }}", dice.below(a))
        } else {
            String::new()
        };
        writeln!(
            text,
            "  a{a}: {{ kind: other, tier: {}, keep: 2h, depends_on: [{}]{rebuild} }}",
            dice.one(&["none", "gold", "silver"]),
            on.join(", ")
        )
        .unwrap();
    }
    text.push_str(
        "  names: { kind: route53, tier: gold, depends_on: [a0], connect: { zone: Z1, record: www.example.com, type: CNAME, ttl: 7s } }\n",
    );
    let count = 2 + dice.below(taste.steps - 1);
    let planned = dice.now_and_then(3);
    let mut lines = Vec::new();
    let mut named: BTreeSet<String> = BTreeSet::new();
    let mut reads: Vec<u64> = Vec::new();
    // With few phases more of a plan is at one time; with all of them most drafts have a circle.
    let phases = dice.one(&["recover", "prepare recover verify", "contain recover verify", "assess contain prepare recover verify close"]);
    let phases: Vec<&str> = phases.split(' ').collect();
    for n in 0..count {
        let zero = !taste.plain && dice.now_and_then(12);
        let takes = if zero { 0 } else { taste.grain_ms * (1 + dice.below(taste.longest_ms / taste.grain_ms)) };
        let mut line = format!("      - {{ id: s{n}, takes: {takes}ms");
        let phase = phases[(n * phases.len() as u64 / count) as usize];
        let phase = if dice.now_and_then(5) { phases[dice.below(phases.len() as u64) as usize] } else { phase };
        write!(line, ", phase: {phase}").unwrap();
        if n > 0 && dice.below(4) > 0 {
            let needs: BTreeSet<String> = (0..dice.below(4)).map(|_| format!("s{}", dice.below(n))).collect();
            write!(line, ", needs: [{}]", needs.into_iter().collect::<Vec<_>>().join(", ")).unwrap();
        }
        if dice.now_and_then(5) {
            write!(line, ", lock: [{}]", dice.one(&["crane", "hall", "crane, hall"])).unwrap();
        }
        if !taste.plain {
            if let Some(x) = reads.last().filter(|_| dice.now_and_then(4)) {
                write!(line, ", when: {{ steps.s{x}.found: {} }}", dice.one(&["up", "down", "{ not: up }"])).unwrap();
            } else if dice.now_and_then(12) {
                line.push_str(", modes: [drill]");
            }
        }
        let asset = match dice.below(8) {
            0 => None,
            1 => Some(["a0".to_owned(), format!("a{}", dice.below(assets))].into_iter().collect::<BTreeSet<_>>()),
            _ => Some(BTreeSet::from([format!("a{}", dice.below(assets))])),
        };
        if let Some(asset) = &asset {
            write!(line, ", asset: [{}]", asset.iter().cloned().collect::<Vec<_>>().join(", ")).unwrap();
            if dice.now_and_then(4) {
                write!(line, ", share: {}", dice.one(&["parts", "shards"])).unwrap();
            }
            if ["prepare", "recover", "verify"].contains(&phase) && !line.contains("modes") {
                named.extend(asset.iter().cloned());
            }
        }
        match dice.below(10) {
            0 if phase == "assess" || !taste.plain => line.push_str(", uses: approval, with: { ask: Go?, from: [lead] }"),
            1 | 2 => line.push_str(", uses: manual, with: { do: Something }, undo: { none: no way back }"),
            3..=5 => {
                if !line.contains("when") && !line.contains("modes") {
                    reads.push(n);
                }
                line.push_str(", uses: command, with: { argv: [look] }, effect: read, outputs: { found: { type: string, json: found } }");
            }
            _ => line.push_str(", uses: command, with: { argv: [do] }, effect: idempotent, undo: { none: no way back }"),
        }
        line.push_str(" }\n");
        lines.push(line);
    }
    if planned || named.is_empty() {
        text.push_str("scenarios:\n  move:\n    cause: planned\n    steps:\n");
    } else {
        let lost: Vec<String> = named.into_iter().filter(|_| dice.below(3) > 0).collect();
        let lost = if lost.is_empty() { "names".to_owned() } else { lost.join(", ") };
        let leaves = if lost == "names" { "\n    leaves: [names]" } else { "" };
        writeln!(
            text,
            "scenarios:\n  lost:\n    cause: outage\n    loses: {{ assets: [{lost}] }}{leaves}\n    detect: 3s\n    decide: 4s\n    steps:"
        )
        .unwrap();
    }
    lines.iter().for_each(|line| text.push_str(line));
    let skip = if !taste.plain && dice.now_and_then(6) { vec![format!("s{}", dice.below(count))] } else { Vec::new() };
    let scenario = Some(if text.contains("  move:") { "move" } else { "lost" }.to_owned());
    (text, Input { parallel: Some(1 + dice.below(5) as u32), skip, scenario, ..Input::default() })
}
