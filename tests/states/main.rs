//! The exploration of a scenario's states beside one that knows none of its short cuts: it goes through the whole plan step
//! by step, lets each single step fail with and without an effect, become unknown and land late, and takes the run back from
//! everywhere. Both must see the same states of each asset, and the same bad ones. `DRPLAN_STATES` sets how many plans.

mod naive;
mod plans;

use std::collections::{BTreeMap, BTreeSet};

use drplan::analysis::states::{Explored, Kind};
use drplan::compile::{Input, compile};
use plans::Dice;

const PATH: &str = "plan.yaml";

fn wanted() -> usize {
    std::env::var("DRPLAN_STATES").ok().and_then(|n| n.parse().ok()).unwrap_or(500)
}

#[test]
fn a_naive_explorer_sees_the_same_states() {
    let (mut seen, mut states, mut naive_states, mut bad, mut ways, mut undone) = (0, 0, 0, 0, 0, 0);
    let mut seed = 0;
    while seen < wanted() {
        seed += 1;
        assert!(seed < 40 * wanted() as u64, "too few plans can be explored: {seen} of {seed}");
        let text = plans::plan(&mut Dice::new(seed));
        let files = BTreeMap::from([(PATH.to_owned(), text.clone())]);
        let found = compile(&files, PATH, &Input { states: Some(u64::MAX), ..Input::default() }).unwrap();
        let Some(explored) = found.explored.values().next() else { continue };
        if explored.parts.is_empty() {
            continue;
        }
        assert!(explored.sampled.is_empty() && explored.left.is_empty());
        let order = plans::Order::of(&found);
        let mut sum = 0;
        let mut wrong = BTreeSet::new();
        for part in &explored.parts {
            let all = naive::explore(&order, part);
            sum += all.states.len();
            naive_states += all.looked_at;
            undone += all.undone;
            ways = ways.max(part.ways.len());
            wrong.extend(all.bad.into_iter().map(|(step, kind)| (step, kind, part.asset.clone())));
        }
        assert_eq!(explored.states as usize, sum, "seed {seed}: states\n{text}");
        let said: BTreeSet<_> = explored.bad.iter().map(|b| (b.step, b.kind, b.asset.clone())).collect();
        assert_eq!(said, wrong, "seed {seed}: bad states\n{text}");
        seen += 1;
        states += sum;
        bad += wrong.len();
    }
    println!(
        "{seen} plans: {states} states, the naive explorer looked at {naive_states} ({undone} of them with something taken back); {bad} bad; at most {ways} ways"
    );
    assert!(bad > seen / 10 && ways > 2 && undone > 0, "nothing to find");
}

#[test]
fn a_way_to_a_bad_state_is_as_short_as_it_can_be() {
    for seed in 1..300 {
        let text = plans::plan(&mut Dice::new(seed));
        let files = BTreeMap::from([(PATH.to_owned(), text.clone())]);
        let found = compile(&files, PATH, &Input::default()).unwrap();
        let Some(explored) = found.explored.values().next() else { continue };
        let order = plans::Order::of(&found);
        for bad in &explored.bad {
            let parts = explored.parts.iter().filter(|p| p.asset == bad.asset && p.steps.iter().any(|(i, _)| *i == bad.step));
            let shortest = parts.filter_map(|p| naive::shortest(&order, p, bad.step, bad.kind)).min();
            assert_eq!(shortest, Some(bad.before.len()), "seed {seed}: {bad:?}\n{text}");
        }
    }
}

/// A plan whose `db` is lost: so many names lead to it, through a chain of so many assets.
fn lost(names: usize, links: usize, steps: &[String]) -> String {
    let mut text = String::from(
        "drplan: v1\nname: lost\nsites: { east: {}, west: {}, global: {} }\nassets:\n  db: { kind: other, tier: none, site: east, replicas: [{ site: west, mode: streaming, max_lag: 10s }] }\n",
    );
    let mut base = "db".to_owned();
    for n in 0..links {
        text.push_str(&format!("  a{n}: {{ kind: other, tier: none, site: east, depends_on: [{base}] }}\n"));
        base = format!("a{n}");
    }
    for n in 0..names {
        text.push_str(&format!("  www-{n:02}: {{ kind: route53, tier: none, site: global, depends_on: [{base}], connect: {{ zone: Z1, record: w{n}.example.com, type: CNAME, ttl: 60s }} }}\n"));
    }
    text.push_str("scenarios:\n  lost:\n    cause: outage\n    loses: { assets: [db] }\n    detect: 5m\n    steps:\n");
    steps.iter().for_each(|step| text.push_str(&format!("      - {{ {step} }}\n")));
    text
}

/// Sends traffic through a name.
fn switch(name: usize, more: &str) -> String {
    format!(
        "id: switch-{name}, asset: www-{name:02}, phase: prepare, {more}uses: route53.upsert, with: {{ value: x.example.com }}, takes: 1s, undo: auto"
    )
}

/// Looks at the database.
fn look(n: usize) -> String {
    format!("id: look-{n}, asset: db, at: west, phase: verify, needs: [], uses: command, effect: read, with: {{ argv: [look] }}, takes: 1s")
}

fn explored(text: String, states: Option<u64>) -> Explored {
    let files = BTreeMap::from([(PATH.to_owned(), text)]);
    let found = compile(&files, PATH, &Input { states, ..Input::default() }).unwrap();
    found.explored["lost"].clone()
}

#[test]
fn what_is_too_large_is_drawn_by_a_seed_and_the_result_says_so() {
    // One asset, eight looks beside each other, and a switch that waits for none of them.
    let steps: Vec<String> = std::iter::once(switch(0, "")).chain((0..8).map(look)).collect();
    let explored = |states| explored(lost(1, 0, &steps), states);
    let all = explored(Some(u64::MAX));
    // Any set of eight looks, with the switch once one of them was done; without any of them it is bad.
    assert_eq!((all.states, all.sampled.len(), all.bad.len()), (256 + 255, 0, 1), "{all:?}");
    let drawn = explored(Some(100));
    assert_eq!((drawn.sampled.as_slice(), drawn.orders, drawn.bad.len()), (["db".to_owned()].as_slice(), 1_000, 1), "{drawn:?}");
    assert_eq!(drawn, explored(Some(100)), "the same seed draws the same orders");
    assert!(drawn.bad[0].before.is_empty(), "of those that were drawn the shortest way is told");
    assert_eq!(explored(None).sampled.len(), 0, "100 000 states are looked at unless more are asked for");
}

#[test]
fn of_two_parts_that_see_the_same_the_shorter_way_is_told() {
    let take = "id: take, asset: db, at: west, from: replica, phase: prepare, needs: [switch-0], uses: command, with: { argv: [do] }, takes: 1s, undo: { none: \"for good\" }";
    let explored = explored(lost(2, 0, &[switch(0, ""), take.to_owned(), switch(1, "needs: [take], ")]), None);
    let take: Vec<_> = explored.bad.iter().filter(|b| b.step == 1).map(|b| (b.kind, b.before.len())).collect();
    assert_eq!((explored.parts.len(), take), (2, vec![(Kind::TwoWriters, 0)]), "{explored:?}");
}

#[test]
fn traffic_that_is_not_followed_to_its_end_is_said() {
    let explored = |names| {
        let steps: Vec<String> = (0..names).map(|n| switch(n, "")).chain([look(0)]).collect();
        explored(lost(names, 300, &steps), None)
    };
    let all = explored(2);
    assert_eq!((all.parts.len(), all.bad.len(), all.left.len()), (2, 2, 0), "however few steps there are: {all:?}");
    let some = explored(60);
    assert!(some.parts.len() < 60, "it has found its end");
    assert_eq!(some.left.len(), 60 - some.parts.len(), "each that was not followed: {:?}", some.left);
    assert_eq!(some.left.last().map(String::as_str), Some("www-59"), "in their order");
}
