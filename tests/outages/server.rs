//! A journal's server that goes away, in real time: for a second, for longer than the lease, for ever.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::fact::until;
use super::lab::Lab;
use super::way::{BLACK_HOLE, OPEN, SHUT, Way};
use super::{Scene, shown, snapshot};

/// A run whose driver goes by a way that can be lost; and the straight way to the same journal.
fn behind(lab: &Lab, schema: &str) -> (Way, Scene, PathBuf) {
    let server = format!("postgres://dr:{}@127.0.0.1:{}/platform", lab["LAB_DR_PASSWORD"], lab["LAB_PRIMARY_PORT"]);
    lab.lab("sql", &["primary", "-c", &format!("create schema {schema}")]);
    let straight = format!("{server}?options=-c%20search_path%3D{schema}");
    let way = Way::before(&server);
    let scene = Scene::on(way.instead(&straight).as_ref());
    (way, scene, straight.into())
}

#[test]
fn a_server_goes_away_for_a_second_for_forty_and_for_ever() {
    let lab = Lab::up(&["--servers"]);
    thread::scope(|scope| {
        let all = [scope.spawn(|| a_second(&lab)), scope.spawn(|| forty(&lab)), scope.spawn(|| for_ever(&lab))];
        for one in all {
            one.join().unwrap();
        }
    });
}

fn a_second(lab: &Lab) {
    let (way, mut scene, straight) = behind(lab, "second");
    way.set(SHUT);
    thread::sleep(Duration::from_secs(1));
    scene.let_on("go");
    until("the first step ends", || scene.names() == "first\n");
    assert_eq!(scene.names(), "first\n", "nothing is started meanwhile");
    way.set(OPEN);
    until("it goes on", || scene.names().contains("second"));
    scene.let_on("end");
    let said = scene.ended();
    assert_eq!((said.code, scene.names().as_str()), (Some(0), "first\nsecond\nbeside\n"), "{said:?}");
    assert!(said.err.contains("The journal does not answer: ") && said.err.contains("The journal answers again."), "{said:?}");
    assert_eq!(scene.at(&straight, &["journal", "verify"]).code, Some(0));
    snapshot("journal-away-for-a-second", &shown(&scene, &said));
    // The lab's server would lose at a power loss what it said it had: that is said, and left to people.
    let unsafe_words = "its server does not sync (fsync = off)";
    assert!(said.err.contains(unsafe_words), "{said:?}");
    let doctor = scene.at(&straight, &["doctor", "plan.yaml"]);
    assert!(doctor.code == Some(0) && doctor.out.contains(unsafe_words), "{doctor:?}");
}

fn forty(lab: &Lab) {
    let (way, mut scene, straight) = behind(lab, "forty");
    let begun = Instant::now();
    way.set(SHUT);
    scene.let_on("go");
    let said = scene.ended();
    let took = begun.elapsed();
    assert!(said.code == Some(16) && (19..33).contains(&took.as_secs()), "after {took:?}: {said:?}");
    snapshot("journal-away-for-forty-seconds", &shown(&scene, &said));
    thread::sleep(Duration::from_secs(40).saturating_sub(begun.elapsed()));
    assert_eq!(scene.names(), "first\n", "nothing was started");
    way.set(OPEN);
    // Nobody drives it: the lease has run out by the server's clock.
    let journal = scene.journal.clone();
    scene.goes_on(&journal, &[]);
    assert_eq!(scene.at(&straight, &["journal", "verify"]).code, Some(0));
}

fn for_ever(lab: &Lab) {
    let (way, mut scene, straight) = behind(lab, "ever");
    way.set(BLACK_HOLE);
    scene.let_on("go");
    let said = scene.ended();
    assert_eq!(said.code, Some(16), "{said:?}");
    snapshot("journal-away-for-ever", &shown(&scene, &said));
    for words in [&["resume", "--yes"][..], &["status"], &["run", "--yes"]] {
        let again = scene.say(words);
        assert!(again.code == Some(16) && again.err.contains("no connection in 5 s"), "{words:?}: {again:?}");
    }
    assert_eq!(scene.names(), "first\n", "nothing was started");
    // The page that people go on with stands on this machine, up to the last thing that the journal heard.
    let page = said.err.split("runbook ").nth(1).and_then(|rest| rest.split(" (").next()).unwrap().to_owned();
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Begun: `first`, `beside`."), "{page}");
    // And by another way to the same server it goes on.
    scene.goes_on(&straight, &[]);
}
