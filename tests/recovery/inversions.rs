//! Promises that cannot be kept because of what they stand on: plans in which there are none, and the same with one put in.

use std::collections::BTreeSet;
use std::fmt::Write;

use drplan::compile::Input;

use super::dags;
use super::dice::{self, Dice};

/// Assets with what each promises, in minutes, and what it stands on: none promises less than what it stands on does, directly
/// or through those that promise nothing.
struct Assets {
    rto_m: Vec<Option<u64>>,
    on: Vec<BTreeSet<usize>>,
    weak: Vec<BTreeSet<usize>>,
}

const TIERS: [u64; 4] = [5, 30, 120, 600];

fn sound(dice: &mut Dice) -> Assets {
    let n = 3 + dice.below(12) as usize;
    let mut all = Assets { rto_m: Vec::new(), on: Vec::new(), weak: Vec::new() };
    for a in 0..n {
        let few = |dice: &mut Dice| (0..dice.below(3)).filter(|_| a > 0).map(|_| dice.below(a as u64) as usize).collect::<BTreeSet<_>>();
        let on = few(dice);
        let weak: BTreeSet<usize> = few(dice).difference(&on).copied().collect();
        all.on.push(on);
        all.weak.push(weak);
        let least = all.promised(a);
        let fits: Vec<u64> = TIERS.into_iter().filter(|t| *t >= least).collect();
        all.rto_m.push((dice.below(4) > 0).then(|| fits[dice.below(fits.len() as u64) as usize]));
    }
    all
}

impl Assets {
    /// The latest promise that an asset stands on, in minutes.
    fn promised(&self, a: usize) -> u64 {
        self.on[a].iter().map(|&b| self.rto_m[b].unwrap_or_else(|| self.promised(b))).max().unwrap_or(0)
    }

    /// Everything that an asset stands on and that no promise stands between.
    fn below(&self, a: usize) -> Vec<usize> {
        self.on[a].iter().flat_map(|&b| if self.rto_m[b].is_some() { vec![b] } else { self.below(b) }).collect()
    }

    fn text(&self) -> String {
        let mut text = String::from("drplan: v1\nname: p\ntiers:\n");
        TIERS.iter().for_each(|m| writeln!(text, "  t{m}: {{ rto: {m}m }}").unwrap());
        text.push_str("  spare: { rto: 1m }\nassets:\n");
        for a in 0..self.on.len() {
            let strong = self.on[a].iter().map(|b| format!("a{b}"));
            let weak = self.weak[a].iter().map(|b| format!("{{ asset: a{b}, strength: weak }}"));
            let on: Vec<String> = strong.chain(weak).collect();
            let tier = self.rto_m[a].map_or("none".to_owned(), |m| format!("t{m}"));
            writeln!(text, "  a{a}: {{ kind: other, tier: {tier}, depends_on: [{}] }}", on.join(", ")).unwrap();
        }
        let step = "{ id: s, asset: a0, phase: verify, takes: 1s, uses: command, effect: read, with: { argv: [look] } }";
        writeln!(text, "scenarios:\n  s:\n    cause: planned\n    steps:\n      - {step}").unwrap();
        text
    }
}

fn found(text: &str) -> Vec<String> {
    let findings = dice::compiled(text, &Input::default()).findings;
    assert!(findings.iter().all(|f| f.level != drplan::diagnostic::Level::Deny), "{text}\n{findings:#?}");
    findings.into_iter().filter(|f| f.rule == "rto-inversion").map(|f| f.headline).collect()
}

#[test]
fn every_inversion_is_found_and_nothing_else() {
    let mut seeded = 0;
    for seed in 0..dags().div_ceil(3) {
        let mut dice = Dice::new(seed);
        let sound = sound(&mut dice);
        assert_eq!(found(&sound.text()), Vec::<String>::new(), "seed {seed}\n{}", sound.text());
        // One asset promises less than the latest that it stands on.
        let pairs: Vec<(usize, usize)> = (0..sound.on.len()).flat_map(|a| sound.below(a).into_iter().map(move |b| (a, b))).collect();
        let able: Vec<&(usize, usize)> = pairs.iter().filter(|(_, b)| sound.rto_m[*b] > Some(TIERS[0])).collect();
        if able.is_empty() {
            continue;
        }
        let &&(a, b) = &able[dice.below(able.len() as u64) as usize];
        let mut bad = Assets { rto_m: sound.rto_m.clone(), ..sound };
        let less: Vec<u64> = TIERS.into_iter().filter(|t| Some(*t) < bad.rto_m[b]).collect();
        bad.rto_m[a] = Some(less[dice.below(less.len() as u64) as usize]);
        let said = found(&bad.text());
        // Through the same neighbour it may stand on one that promises still less.
        let named = |other: usize| bad.rto_m[other] >= bad.rto_m[b];
        let of = |line: &String| {
            line.starts_with(&format!("`a{a}` is")) && (0..bad.on.len()).any(|o| named(o) && line.contains(&format!("stands on `a{o}`")))
        };
        assert!(said.iter().any(of), "seed {seed}: `a{a}` before `a{b}`: {said:?}\n{}", bad.text());
        // Nobody else stands on less than before.
        assert!(said.iter().all(|line| line.starts_with(&format!("`a{a}` is"))), "seed {seed}: {said:?}\n{}", bad.text());
        seeded += 1;
    }
    assert!(seeded * 2 > dags().div_ceil(3), "{seeded} inversions");
    println!("{seeded} of {seeded} inversions found");
}

/// What a scenario says of a tier counts there.
#[test]
fn a_scenario_s_own_objectives_count() {
    let plan = |objectives: &str| {
        format!(
            "drplan: v1\nname: p\ntiers: {{ fast: {{ rto: 1h }}, slow: {{ rto: 1h }} }}\nassets:\n  base: {{ kind: other, tier: slow }}\n  \
             top: {{ kind: other, tier: fast, depends_on: [base] }}\nscenarios:\n  s:\n    cause: planned\n    objectives: {{ {objectives} }}\n    steps:\n      \
             - {{ id: s, asset: base, phase: verify, takes: 1s, uses: command, effect: read, with: {{ argv: [look] }} }}\n"
        )
    };
    assert_eq!(found(&plan("fast: { rto: 1h }")), Vec::<String>::new());
    assert_eq!(found(&plan("fast: { rto: 30m }")), ["`top` is to be back after 30m, and stands on `base`, which promises 1h"]);
    assert_eq!(found(&plan("slow: { rto: 2h }")), ["`top` is to be back after 1h, and stands on `base`, which promises 2h"]);
    assert_eq!(found(&plan("slow: { rto: 2h }, fast: { rto: 3h }")), Vec::<String>::new());
}

/// A scenario's own objective is of what is lost there: a slower asset that is there all the while holds nobody up.
#[test]
fn what_a_scenario_does_not_touch_holds_nobody_up_there() {
    let plan = |loses: &str, objectives: &str| {
        format!(
            "drplan: v1\nname: p\ntiers: {{ fast: {{ rto: 1h }}, slow: {{ rto: 1h }} }}\nassets:\n  base: {{ kind: other, tier: slow }}\n  \
             under: {{ kind: other, tier: slow }}\n  hidden: {{ kind: other, tier: none, depends_on: [under] }}\n  \
             top: {{ kind: other, tier: fast, depends_on: [base, hidden] }}\nscenarios:\n  s:\n    cause: planned\n    \
             objectives: {{ {objectives} }}\n    steps:\n      \
             - {{ id: s, asset: [top, {loses}], phase: verify, takes: 1s, uses: command, effect: read, with: {{ argv: [look] }} }}\n"
        )
    };
    let said = |base: &str| format!("`top` is to be back after 30m, and stands on `{base}`, which promises 1h");
    assert_eq!(found(&plan("base", "fast: { rto: 30m }")), [said("base")]);
    assert_eq!(found(&plan("under", "fast: { rto: 30m }")), [said("under` (through `hidden`)").replace(")`, which", "), which")]);
    assert_eq!(found(&plan("hidden", "fast: { rto: 30m }")), Vec::<String>::new());
    // What a tier promises, it promises whatever happens.
    assert_eq!(found(&plan("hidden", "slow: { rto: 2h }")).len(), 2);
}
