//! One suite for every journal store: what is written is read back, who decided on an old head or lost its lease is
//! refused, a lease ends with its holder, and what was changed behind the journal's back is seen.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[cfg(feature = "postgres")]
#[path = "support/lab.rs"]
mod lab;
#[cfg(feature = "postgres")]
#[path = "conformance_journal/away.rs"]
mod away;
#[path = "conformance_journal/adoptions.rs"]
mod adoptions;
#[path = "conformance_journal/leases.rs"]
mod leases;
#[path = "conformance_journal/places.rs"]
mod places;
#[path = "conformance_journal/schemas.rs"]
mod schemas;
#[path = "conformance_journal/texts.rs"]
mod texts;
#[cfg(feature = "postgres")]
#[expect(dead_code, reason = "other tests need the rest of it")]
#[path = "support/way.rs"]
mod way;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drplan::journal::schema::NEWEST;
use drplan::journal::{self, End, Error, Event, Head, LEASE_MS, Stamped, Store, Word, digest};
use jiff::Timestamp;
use places::{OTHER, Place, RUN, change, open, raw};
use sqlx::sqlite::SqliteSynchronous;

fn started(plan: &str) -> Stamped {
    let at: Timestamp = "2026-11-21T03:15:00.123456789Z".parse().unwrap();
    let event = Event::RunStarted {
        plan: plan.to_owned(),
        scenario: "move".to_owned(),
        mode: "planned".to_owned(),
        digest: "00".to_owned(),
        compiled: "{\"a\":\"quote ' and \\u0000 and ü\"}".to_owned(),
        dir: "/plans".to_owned(),
        operator: "me@here".to_owned(),
        host: "here".to_owned(),
        commit: None,
        incident_start: at,
        incident_assumed: false,
        version: "0".to_owned(),
    };
    (at, event)
}

fn said(n: u32) -> Stamped {
    let at: Timestamp = "2026-11-21T03:16:00.5Z".parse().unwrap();
    let word = Event::Word { word: Word::Retry, step: Some(format!("s{n}")), who: "me".to_owned(), reason: format!("reason {n}") };
    (at + std::time::Duration::from_millis(u64::from(n)), word)
}

fn finished() -> Stamped {
    (said(0).0, Event::Finished { how: End::Good, summary: "all done".to_owned() })
}

#[tokio::test]
async fn what_is_written_is_read_back() {
    for place in Place::all() {
        let (store, head) = place.begun().await;
        assert_eq!((head.seq, head.digest.len()), (5, 64));
        let again = place.store().await;
        assert_eq!(again.head(RUN).await.unwrap(), head);
        let all = again.read(RUN, 0).await.unwrap();
        assert_eq!(all.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(all[0].event, started("plan").1);
        assert_eq!(all[0].at.to_string(), "2026-11-21T03:15:00.123456Z", "microseconds are kept");
        for (n, entry) in (2..=5).zip(&all[1..]) {
            assert_eq!((entry.at, &entry.event), (said(n).0, &said(n).1));
        }
        assert_eq!(again.read(RUN, 3).await.unwrap(), all[3..]);
        assert_eq!(again.read(RUN, 5).await.unwrap(), []);
        assert!(matches!(again.read(RUN, 6).await, Err(Error::Damaged(_))), "what was there once is gone");
        assert_eq!(store.verify(RUN).await.unwrap(), 5);
        // Several at once are one after the other in the chain.
        let head = store.append(RUN, &head, None, &[said(6), said(7), finished()]).await.unwrap();
        assert_eq!((head.seq, store.verify(RUN).await.unwrap()), (8, 8));
    }
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_by_how_they_ended() {
    for place in Place::all() {
        let (store, head) = place.begun().await;
        let (at, first) = started("later");
        let later = store.create(OTHER, (at + std::time::Duration::from_secs(1), first)).await.unwrap();
        store.append(RUN, &head, None, &[finished()]).await.unwrap();
        let runs = store.runs().await.unwrap();
        assert_eq!(runs.iter().map(|r| (r.id.as_str(), r.plan.as_str())).collect::<Vec<_>>(), [(OTHER, "later"), (RUN, "plan")]);
        assert_eq!((runs[0].finished, &runs[0].head, runs[0].scenario.as_str()), (None, &later, "move"));
        assert_eq!((runs[1].finished, runs[1].head.seq, &runs[1].holder), (Some(End::Good), 6, &None));
        assert_eq!(store.create(RUN, started("again")).await, Err(Error::Moved), "a run begins once");
        assert_eq!(store.runs().await.unwrap(), runs);
        assert!(matches!(store.create("x", said(1)).await, Err(Error::Damaged(_))), "a run begins with its start");
        assert_eq!(store.runs().await.unwrap(), runs);
    }
}

#[tokio::test]
async fn a_run_that_is_not_there_is_said_so() {
    for place in Place::all() {
        let (store, head) = place.begun().await;
        let no = || Error::NoRun("nobody".to_owned());
        assert_eq!(store.head("nobody").await, Err(no()));
        assert_eq!(store.read("nobody", 0).await, Err(no()));
        assert_eq!(store.read("nobody", 3).await, Err(no()));
        assert_eq!(store.append("nobody", &head, None, &[said(1)]).await, Err(no()));
        assert_eq!(store.verify("nobody").await, Err(no()));
        assert_eq!(store.take("nobody", "me").await.unwrap_err(), no());
    }
}

#[tokio::test]
async fn who_decided_on_another_head_is_refused_and_nothing_of_it_is_written() {
    for place in Place::all() {
        let (store, head) = place.begun().await;
        let old = Head { seq: 4, digest: head.digest.clone() };
        let wrong = Head { seq: 5, digest: head.digest.replace(char::is_alphanumeric, "0") };
        for head in [old, wrong, Head::default()] {
            assert_eq!(store.append(RUN, &head, None, &[said(6), said(7)]).await, Err(Error::Moved));
        }
        assert_eq!((store.head(RUN).await.unwrap(), store.verify(RUN).await.unwrap()), (head, 5));
    }
}

/// Whoever lost the reply says the same again.
#[tokio::test]
async fn what_is_said_again_is_there_once() {
    for place in Place::all() {
        let (store, head) = place.begun().await;
        assert_eq!(store.create(RUN, started("plan")).await.unwrap().seq, 1, "it had begun");
        let lease = store.take(RUN, "a").await.unwrap();
        let said = [said(6), said(7)];
        let new = store.append(RUN, &head, Some(lease.fence), &said).await.unwrap();
        let again = place.store().await;
        assert_eq!(again.append(RUN, &head, Some(lease.fence), &said).await.unwrap(), new);
        // Also when somebody spoke meanwhile: what landed is where it landed.
        store.append(RUN, &new, None, &[finished()]).await.unwrap();
        assert_eq!(again.append(RUN, &head, Some(lease.fence), &said).await.unwrap(), new);
        assert_eq!(again.append(RUN, &head, Some(lease.fence), &said[1..]).await, Err(Error::Moved), "something else is not that");
        // Who lost the lease is told so, whatever of it is there.
        place.store().await.seize(RUN, "b").await.unwrap();
        assert_eq!(again.append(RUN, &head, Some(lease.fence), &said).await, Err(Error::Fenced));
        assert_eq!(store.verify(RUN).await.unwrap(), 8);
    }
}

#[tokio::test]
async fn a_lease_is_had_by_one_and_free_when_given() {
    for place in Place::all() {
        let (store, _) = place.begun().await;
        let other = place.store().await;
        let lease = store.take(RUN, "a@here pid 1").await.unwrap();
        assert_eq!((lease.fence, &lease.from), (1, &None));
        assert_eq!(other.take(RUN, "b@here pid 2").await.unwrap_err(), Error::Held { holder: "a@here pid 1".to_owned() });
        assert_eq!(other.runs().await.unwrap()[0].holder.as_deref(), Some("a@here pid 1"));
        store.beat(&lease).await.unwrap();
        store.give(lease).await.unwrap();
        assert_eq!(other.runs().await.unwrap()[0].holder, None);
        let lease = other.take(RUN, "b@here pid 2").await.unwrap();
        assert_eq!((lease.fence, &lease.from), (2, &None), "it was given, not left");
    }
}

#[tokio::test]
async fn who_lost_its_lease_appends_nothing() {
    for place in Place::all() {
        let (store, head) = place.begun().await;
        let lost = store.take(RUN, "a").await.unwrap();
        let head = store.append(RUN, &head, Some(lost.fence), &[said(6)]).await.unwrap();
        // The holder is stopped, not gone: its lock is there, and it will speak again.
        place.silence(LEASE_MS + 1_000).await;
        let lease = place.store().await.take(RUN, "b").await.unwrap();
        assert_eq!((lease.fence, lease.from.as_deref()), (lost.fence + 1, Some("a")));
        assert_eq!(store.append(RUN, &head, Some(lost.fence), &[said(7)]).await, Err(Error::Fenced));
        assert_eq!(store.beat(&lost).await, Err(Error::Fenced));
        store.give(lost).await.unwrap();
        assert_eq!(store.take(RUN, "c").await.unwrap_err(), Error::Held { holder: "b".to_owned() }, "only its own lease was given");
        let head = store.append(RUN, &head, Some(lease.fence), &[said(7)]).await.unwrap();
        // A person's word needs no lease.
        assert_eq!(store.append(RUN, &head, None, &[said(8)]).await.unwrap().seq, 8);
        assert_eq!(store.verify(RUN).await.unwrap(), 8);
    }
}

#[tokio::test]
async fn a_holder_that_was_silent_not_long_enough_keeps_its_lease() {
    for place in Place::all() {
        if matches!(place, Place::Memory(_)) {
            continue;
        }
        let (store, _) = place.begun().await;
        let lease = store.take(RUN, "a").await.unwrap();
        place.silence(LEASE_MS - 5_000).await;
        assert!(matches!(place.store().await.take(RUN, "b").await, Err(Error::Held { .. })));
        place.silence(LEASE_MS + 5_000).await;
        assert_eq!(place.store().await.runs().await.unwrap()[0].holder, None, "it is listed as it would be taken");
        let silent = store.holder(RUN).await.unwrap();
        assert!(!silent.holds() && silent.name.as_deref() == Some("a") && silent.silent_ms > Some(LEASE_MS as i64), "{silent:?}");
        store.beat(&lease).await.unwrap();
        assert!(matches!(place.store().await.take(RUN, "b").await, Err(Error::Held { .. })), "a sign of life renews it");
        // Signs of life from the future are no silence: nobody knows how long it was.
        place.change("UPDATE run SET beat_ms = beat_ms + 86400000").await;
        assert!(matches!(place.store().await.take(RUN, "b").await, Err(Error::Held { .. })));
        place.change("UPDATE run SET boot = 'another'").await;
        let lease = place.store().await.take(RUN, "b").await.unwrap();
        assert_eq!(lease.from.as_deref(), Some("a"), "the clock was started again");
    }
}

#[tokio::test]
async fn who_takes_a_run_hears_how_long_it_was_left_alone() {
    for place in Place::all() {
        if matches!(place, Place::Memory(_)) {
            continue;
        }
        let (store, head) = place.begun().await;
        let first = store.take(RUN, "a").await.unwrap();
        assert_eq!(first.quiet_ms, None, "nobody ever drove it");
        let fence = first.fence;
        place.silence(3_600_000).await;
        store.append(RUN, &head, Some(fence), &[said(6)]).await.unwrap();
        assert!(store.holder(RUN).await.unwrap().holds(), "what a driver writes is a sign of life");
        store.give(first).await.unwrap();
        place.silence(7_200_000).await;
        let head = store.head(RUN).await.unwrap();
        store.append(RUN, &head, None, &[said(7)]).await.unwrap();
        let second = store.take(RUN, "b").await.unwrap();
        let quiet = second.quiet_ms.unwrap();
        assert!((7_200_000..7_260_000).contains(&quiet), "a voice is no driver: {quiet}");
        store.give(second).await.unwrap();
        place.change("UPDATE run SET boot = 'another'").await;
        assert_eq!(store.take(RUN, "c").await.unwrap().quiet_ms, None, "the clock was started again");
    }
}

#[tokio::test]
async fn the_lease_of_a_killed_process_is_free_at_once() {
    let place = Place::file();
    let (store, head) = place.begun().await;
    let mut child = again("child_holds", &place);
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).find(|l| l.contains("held by"));
    assert!(said.is_some_and(|l| l.ends_with("held by 1")));
    assert_eq!(store.take(RUN, "me").await.unwrap_err(), Error::Held { holder: "the child".to_owned() });
    assert_eq!(store.runs().await.unwrap()[0].holder.as_deref(), Some("the child"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(store.runs().await.unwrap()[0].holder, None);
    let lease = store.take(RUN, "me").await.unwrap();
    assert_eq!((lease.fence, lease.from.as_deref()), (2, Some("the child")));
    assert_eq!(store.append(RUN, &head, Some(1), &[said_by_the_dead()]).await, Err(Error::Fenced));
}

fn said_by_the_dead() -> Stamped {
    said(6)
}

/// Run by the test above in a process of its own: takes the lease and waits for its death.
#[tokio::test]
async fn child_holds() {
    let Some(place) = std::env::var_os("JOURNAL_OF_THE_PARENT") else { return };
    let store = journal::open(&journal::Place::typed(&place)).await.unwrap();
    let lease = store.take(RUN, "the child").await.unwrap();
    println!("\nheld by {}", lease.fence);
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn two_processes_that_append_at_once_lose_nothing() {
    for place in Place::all() {
        if matches!(place, Place::Memory(_)) {
            continue;
        }
        let (store, _) = place.begun().await;
        let children: Vec<Child> = (0..2).map(|_| again("child_appends", &place)).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        assert_eq!(store.verify(RUN).await.unwrap(), 5 + 2 * 100);
        let mut reasons: Vec<String> = store.read(RUN, 5).await.unwrap().into_iter().map(|e| format!("{:?}", e.event)).collect();
        reasons.sort();
        reasons.dedup();
        assert_eq!(reasons.len(), 200, "each word of each process is there");
    }
}

/// Run by the test above in processes of their own: says a hundred words, each until it lands.
#[tokio::test]
async fn child_appends() {
    let Some(place) = std::env::var_os("JOURNAL_OF_THE_PARENT") else { return };
    let store = journal::open(&journal::Place::typed(&place)).await.unwrap();
    for n in 0..100 {
        let word = Event::Word { word: Word::Pause, step: None, who: std::process::id().to_string(), reason: n.to_string() };
        loop {
            let head = store.head(RUN).await.unwrap();
            match store.append(RUN, &head, None, &[(Timestamp::now(), word.clone())]).await {
                Ok(_) => break,
                Err(Error::Moved) => {}
                Err(other) => panic!("{other}"),
            }
        }
        // From here on both are there, and speak at once; if the other died, this is not for ever.
        let begun = Instant::now();
        while n == 0 && store.head(RUN).await.unwrap().seq < 7 {
            assert!(begun.elapsed() < Duration::from_secs(60), "the other process never spoke");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_a_run_changes_is_held_until_it_ends() {
    for place in Place::all() {
        let (store, head) = place.begun().await;
        let other = place.store().await;
        other.create(OTHER, started("other")).await.unwrap();
        let targets = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        store.hold(RUN, &targets(&["db-a:5432", "zone-1"])).await.unwrap();
        store.hold(RUN, &targets(&["zone-1", "file-x"])).await.unwrap();
        let taken = other.hold(OTHER, &targets(&["free", "zone-1"])).await;
        assert_eq!(taken, Err(Error::AssetHeld { target: "zone-1".to_owned(), run: RUN.to_owned() }));
        store.hold(RUN, &targets(&["free"])).await.expect("all or none: the refused run holds nothing");
        let lease = store.take(RUN, "a").await.unwrap();
        store.give(lease).await.unwrap();
        assert!(other.hold(OTHER, &targets(&["db-a:5432"])).await.is_err(), "a run that nobody drives still holds");
        store.append(RUN, &head, None, &[finished()]).await.unwrap();
        other.hold(OTHER, &targets(&["db-a:5432", "zone-1", "file-x", "free"])).await.unwrap();
    }
}

/// What is done to the tables, and what of it is seen. Each is undone by the next fresh copy.
#[tokio::test]
async fn what_was_changed_behind_its_back_is_seen() {
    let mut changes: Vec<String> = [
        "DELETE FROM event WHERE seq = 5",
        "DELETE FROM event WHERE seq >= 3",
        "DELETE FROM event WHERE seq = 1",
        "DELETE FROM event",
        "DELETE FROM event WHERE seq = 3",
        "DELETE FROM event WHERE seq = 3; UPDATE event SET seq = seq - 1 WHERE seq > 3; UPDATE run SET head = 4",
        "UPDATE event SET seq = seq + 100 WHERE seq IN (2, 3); UPDATE event SET seq = 105 - seq WHERE seq > 100",
        "INSERT INTO event SELECT run, 6, at, body, digest FROM event WHERE seq = 5",
        "INSERT INTO event SELECT run, 6, at, body, digest FROM event WHERE seq = 5; UPDATE run SET head = 6",
        "UPDATE run SET head = 4",
        "UPDATE run SET head = 6",
        "UPDATE run SET head = -6",
        "UPDATE run SET digest = (SELECT digest FROM event WHERE seq = 4)",
        "UPDATE run SET head = 4, digest = (SELECT digest FROM event WHERE seq = 4)",
        "UPDATE event SET at = 9223372036854775807 WHERE seq = 2",
    ]
    .map(str::to_owned)
    .to_vec();
    for seq in 1..=5 {
        let each = ["at = at + 1", "at = at - 1", "seq = seq + 10", "run = run || 'x'"];
        changes.extend(each.map(|c| format!("UPDATE event SET {c} WHERE seq = {seq}")));
        for column in ["body", "digest"] {
            for place in ["1", "length(X) / 2", "length(X)"] {
                let place = place.replace('X', column);
                let (before, after) = (format!("substr({column}, 1, {place} - 1)"), format!("substr({column}, {place} + 1)"));
                // The lowest bit of one byte. CODE and SIGN are named by each dialect in its own way.
                let code = format!("CODE(substr({column}, {place}, 1))");
                let flipped = format!("{before} || SIGN({code} + 1 - 2 * ({code} % 2)) || {after}");
                changes.push(format!("UPDATE event SET {column} = {flipped} WHERE seq = {seq}"));
            }
        }
    }
    // A file holds whatever is put into a column.
    let strange = ["body = CAST(x'ff' AS TEXT)", "body = x'00'", "at = 'noon'"].map(|c| format!("UPDATE event SET {c} WHERE seq = 2"));
    let place = Place::file();
    let _whole = place.begun().await;
    let mut original = raw(&place.path()).await;
    for sql in changes.iter().chain(&strange) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("VACUUM INTO '{}'", path.display()))).execute(&mut original).await.unwrap();
        assert_eq!(open(&path).await.unwrap().verify(RUN).await.unwrap(), 5, "the copy is whole");
        let sql = sql.replace("CODE(", "unicode(").replace("SIGN(", "char(");
        change(&path, &sql).await;
        seen(&sql, open(&path).await.unwrap().verify(RUN).await);
    }
    println!("{} changes of a file, each seen", changes.len() + strange.len());
    assert_eq!(changes.len(), 15 + 5 * (4 + 6));
    #[cfg(feature = "postgres")]
    {
        let place = Place::server();
        let (store, _) = place.begun().await;
        place.change(places::SAVE).await;
        for sql in &changes {
            let sql = sql.replace("CODE(", "ascii(").replace("SIGN(", "chr(");
            place.change(&sql).await;
            seen(&sql, store.verify(RUN).await);
            place.change(places::RESTORE).await;
            assert_eq!(store.verify(RUN).await.unwrap(), 5, "it is whole again");
        }
        println!("{} changes on a server, each seen", changes.len());
    }
}

fn seen(sql: &str, verified: Result<u64, Error>) {
    let said = |why: &str| why.contains(RUN) || why.contains("is not a time") || why.contains("cannot be read");
    assert!(matches!(&verified, Err(Error::Damaged(why)) if said(why)), "{sql}: {verified:?}");
}

#[test]
fn a_digest_is_what_it_was_when_older_journals_were_written() {
    let at: Timestamp = "2026-11-21T03:15:00.123456Z".parse().unwrap();
    let first = digest(&Head::default(), "run", 1, at, "{}");
    // sha256 over each part, its length before it as eight bytes, least first: '', 'run', '1', the time, '{}'.
    assert_eq!(first, "2e95112843e0f0a3d5b09a46498bcaabb31dc91e07559c3ea1e0de5a99a22ef7");
    let second = digest(&Head { seq: 1, digest: first }, "run", 2, at, "{}");
    assert_eq!(second, "6d2b2352e757545d47b2d6e60035e281854ed4cbea9559e2ab10061100100c37");
}

#[tokio::test]
async fn a_newer_journal_is_refused_with_words() {
    let place = Place::file();
    drop(place.begun().await);
    change(
        &place.path(),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', 1, x'00', 0)",
    )
    .await;
    let Err(Error::Failed(why)) = drplan::journal::sqlite::open(&place.path()).await.map(drop) else { panic!("it was opened") };
    assert!(why.contains("journal.db was written by a newer drplan (schema 9999); use that one"), "{why}");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "a text that is longer than the head of a database, and that is none: ".repeat(9)).unwrap();
    for (path, cause) in [
        (file.join("journal.db"), "cannot make"),
        (dir.path().to_owned(), ": unable to open database file"),
        (file.clone(), "file is not a database"),
        (PathBuf::from("/proc/self/journal.db"), "cannot open /proc/self/journal.db: unable to open database file"),
        (PathBuf::from("/dev/full"), "cannot open /dev/full: database or disk is full"),
    ] {
        let Err(Error::Failed(why)) = open(&path).await.map(drop) else { panic!("{} was opened", path.display()) };
        assert!(why.contains(cause) && why.contains(&*path.parent().unwrap().to_string_lossy()), "{}: {why}", path.display());
    }
}

#[tokio::test]
async fn it_is_as_durable_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    for (degree, said) in [(SqliteSynchronous::Full, "2"), (SqliteSynchronous::Off, "0")] {
        let store = drplan::journal::sqlite::open_with(&dir.path().join(said), degree, &NEWEST).await.unwrap();
        assert_eq!(store.create(RUN, started("plan")).await.unwrap().seq, 1);
        let wal = std::fs::metadata(dir.path().join(format!("{said}-wal"))).unwrap();
        assert!(wal.len() > 0, "it writes ahead");
    }
}

/// This test program again, one test of it, with the journal's place.
fn again(test: &str, place: &Place) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("JOURNAL_OF_THE_PARENT", place.typed())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}
