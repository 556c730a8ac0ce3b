//! Small random plans, and their order read from the compiled plan, in a way of its own.

use drplan::analysis::Checked;
use drplan::compile::Compilation;
use drplan::model::{Effect, Join, Node, Undo};

/// Chance from a seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn of(&mut self, sides: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.of(of.len() as u64) as usize]
    }
}

const HEAD: &str = r#"drplan: v1
name: random
sites: { east: {}, west: {}, north: {}, global: {} }
assets:
  db:
    kind: other
    tier: none
    site: east
    replicas: [{ site: west, mode: streaming, max_lag: 10s }, { site: north, mode: MODE, max_lag: 10s }]
    backups: [{ id: nightly, method: dump, schedule: "0 2 * * *", takes: 10m, to: "s3://b/db/", site: global }]
  www: { kind: route53, tier: none, site: global, depends_on: [db], connect: { zone: Z1, record: www.example.com, type: CNAME, ttl: 60s } }
scenarios:
  s:
"#;

/// A plan of up to seven steps.
pub fn plan(dice: &mut Dice) -> String {
    let mut text = HEAD.replace("MODE", dice.one(&["streaming", "logical", "active"]));
    text.push_str(dice.one(&[
        "    cause: outage\n    loses: { sites: [east] }\n    detect: 5m\n",
        "    cause: outage\n    loses: { assets: [db] }\n    detect: 5m\n",
        "    cause: corruption\n    loses: { assets: [db] }\n    detect: 5m\n",
        "    cause: planned\n",
    ]));
    text.push_str("    steps:\n");
    let asks = dice.of(3) == 0;
    let count = 3 + dice.of(4);
    for n in 0..count {
        let id = format!("s{n}");
        let site = dice.one(&["east", "west", "north"]);
        let mut more = String::new();
        if asks && n == 0 {
            text.push_str(
                "      - { id: s0, phase: assess, uses: manual, with: { do: look, record: { found: { enum: [a, b] } } }, takes: 5m }\n",
            );
            continue;
        }
        match dice.of(4) {
            0 => more.push_str(" needs: [],"),
            1 if n > 0 => more.push_str(&format!(" needs: [s{}],", dice.of(n))),
            _ => {}
        }
        let conditional = asks && dice.of(3) == 0;
        if conditional {
            let value = dice.one(&["a", "b"]);
            more.push_str(&format!(" when: {{ steps.s0.found: {value} }},"));
        }
        let read = "uses: command, effect: read, with: { argv: [look] }, takes: 1s";
        let undo = dice.one(&["undo: { none: \"for good\" }", "undo: { uses: command, with: { argv: [back] } }"]);
        let change = format!(
            "uses: command, with: {{ argv: [do] }}, check: {{ uses: command, effect: read, with: {{ argv: [done] }} }}, takes: 1s, when_unreachable: ask, {undo}"
        );
        let line = match dice.of(8) {
            0 | 1 => format!("asset: db, at: {site}, phase: contain,{more} {change}"),
            2 | 3 => format!(
                "asset: db, at: {}, from: replica, phase: {},{more} {change}",
                dice.one(&["west", "north"]),
                dice.one(&["recover", "prepare"])
            ),
            4 => format!("asset: db, at: {site}, from: nightly,{more} {change}"),
            5 => {
                let goes_on = if dice.of(3) == 0 { " on_failure: continue," } else { "" };
                format!("asset: db, at: {site}, phase: verify,{more}{goes_on} {read}, when_unreachable: ask")
            }
            6 => {
                let phase = dice.one(&["recover", "prepare", "close"]);
                format!("asset: www, phase: {phase},{more} uses: route53.upsert, with: {{ value: x.example.com }}, takes: 1s, undo: auto")
            }
            _ => format!("{more} {read}"),
        };
        text.push_str(&format!("      - {{ id: {id}, {} }}\n", line.trim_start()));
    }
    text
}

/// What comes before what, and which steps can be taken back.
pub struct Order {
    /// By step: those that it waits for, directly or through points that steps share.
    pub before: Vec<Vec<usize>>,
    /// By step: it changes something, and nothing takes that back.
    pub holds: Vec<bool>,
    /// By step: it changes nothing.
    pub reads: Vec<bool>,
}

impl Order {
    /// The order of a plan's one scenario, whether or not it was refused.
    pub fn of(found: &Compilation) -> Order {
        let plan = found.checked.first().map(Checked::compiled).or(found.refused.first()).expect("it was explored");
        let direct = |node: &Node| match node {
            Node::Step(i) => vec![*i as usize],
            Node::Join(j) => joined(&plan.joins, *j as usize),
        };
        fn joined(joins: &[Join], j: usize) -> Vec<usize> {
            let each = joins[j].waits.iter().flat_map(|w| match w.on {
                Node::Step(i) => vec![i as usize],
                Node::Join(j) => joined(joins, j as usize),
            });
            each.collect()
        }
        let before = plan.waits.iter().map(|waits| waits.iter().flat_map(|w| direct(&w.on)).collect()).collect();
        let steps = &plan.scenario.steps;
        Order {
            before,
            holds: steps.iter().map(|s| matches!(s.undo, Undo::None(_))).collect(),
            reads: steps.iter().map(|s| s.effect == Effect::Read || s.undo == Undo::Unneeded).collect(),
        }
    }
}
