//! The systems of `plans/`, each in a lab of real servers: something is lost for good, and brought back by the plan, by the plan
//! with a death of the program in the middle, and by a person who types the page. All three must end alike, and each must
//! satisfy the lab's own judge. A way back is gone where the plan has one.
//!
//! By default each scenario is run, and one of them each day dies and is typed; DRPLAN_SYSTEMS=all does all with each, and the name
//! of a loss that one.
#![cfg(all(feature = "aws", feature = "postgres"))]
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[path = "../support/house.rs"]
mod house;
#[path = "../typed/page.rs"]
mod page;
#[path = "../typed/shell.rs"]
mod shell;

mod company;
mod desk;
mod records;
mod signals;
mod trading;

use house::House;
use serde_json::Value;

use desk::Desk;
use shell::Shell;

/// A scenario of a plan, and what its lab does about it.
pub struct Story {
    /// The folder under `plans/`.
    pub plan: &'static str,
    /// The scenario.
    pub scenario: &'static str,
    /// Who says yes.
    pub people: &'static [&'static str],
    /// In which step the program dies.
    pub dies_in: &'static str,
    /// The scenario that leads back afterwards.
    pub back: Option<&'static str>,
    /// What is lost (`lose_…` of its lab); parameters that are known only then are printed by it, `name=value`.
    pub lose: &'static str,
    /// Steps whose condition does not hold then: who types reads so, and passes them over.
    pub passed_over: &'static [&'static str],
}

/// How a story is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Run,
    Death,
    Typed,
}

/// Holds the stories of one plan.
pub fn hold(stories: &[Story]) {
    let wanted = std::env::var("DRPLAN_SYSTEMS").unwrap_or_default();
    let all = !wanted.is_empty();
    let days = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
    for (i, story) in stories.iter().enumerate().filter(|(_, s)| !all || wanted == "all" || wanted == s.lose) {
        let ours = all || days as usize % stories.len() == i;
        let run = end(story, Way::Run);
        for way in [Way::Death, Way::Typed].into_iter().filter(|_| ours) {
            let other = end(story, way);
            assert_eq!(run, other, "{} {}: run ≠ {way:?}", story.plan, story.scenario);
        }
    }
}

/// The facts at the end of a story.
fn end(story: &Story, way: Way) -> Value {
    let began = std::time::Instant::now();
    let house = House::up(story.plan);
    let said = house.verb(&[&format!("lose-{}", story.lose)]).unwrap_or_else(|said| panic!("{said}"));
    let known: Vec<&str> = said.lines().filter(|l| l.contains('=')).collect();
    let desk = Desk::new(&house, story, &known);
    match way {
        Way::Run => desk.run(story.scenario, None),
        Way::Death => desk.run(story.scenario, Some(story.dies_in)),
        Way::Typed => typed(&desk, &house, story, story.scenario),
    }
    judged(&house, story.scenario);
    if let Some(back) = story.back {
        if way == Way::Typed {
            typed(&desk, &house, story, back)
        } else {
            desk.run(back, None)
        }
        judged(&house, back);
    }
    println!("{} {} {way:?}: {} s", story.plan, story.scenario, began.elapsed().as_secs());
    house.facts()
}

fn judged(house: &House, scenario: &str) {
    house.verb(&["judge", scenario]).unwrap_or_else(|said| panic!("{said}"));
}

/// Types the page, with the page's own patience.
fn typed(desk: &Desk<'_>, house: &House, story: &Story, scenario: &str) {
    let steps = page::read(&desk.rendered(scenario));
    // What a person keeps while typing stands beside the plan: in a copy of its directory.
    let beside = desk.home().join(scenario);
    let copied = std::process::Command::new("cp").arg("-r").arg(desk.plan_dir()).arg(&beside).status().unwrap();
    assert!(copied.success());
    let mut env = house.env.clone();
    // And what tools keep, at home.
    env.insert("HOME".to_owned(), desk.home().display().to_string());
    let mut shell = Shell::open(&beside, &env);
    for step in steps.iter().filter(|s| !story.passed_over.contains(&s.id.as_str())) {
        for block in &step.blocks {
            let tries = if step.again && block.kind == page::Kind::Look { 12 } else { 1 };
            let mut said = shell.typed(&block.script);
            for _ in 1..tries {
                if said.is_err() {
                    shell.typed("sleep 1").unwrap();
                    said = shell.typed(&block.script);
                }
            }
            if let Err(why) = said {
                let silent = step.may_be_silent && ["Connection refused", "timeout expired"].iter().any(|w| why.contains(w));
                assert!(silent, "{scenario}, {}: {why}", step.id);
            }
        }
    }
}
