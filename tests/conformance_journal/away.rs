//! A server that goes away, or whose reply is lost.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drplan::execute::Patient;
use drplan::execute::patience::Silence;
use drplan::journal::{self, Archive, Error, Store};
use drplan::world::real::{RealSettings, world};

use super::places::{Place, RUN};
use super::way::{BLACK_HOLE, LOSE_COMMIT, LOSE_REPLY, OPEN, SHUT, SWALLOW, Way};
use super::{LEASE_MS, said, started};

/// A journal behind a way that can be lost, and the same one on the straight way.
async fn behind() -> (Way, Arc<dyn Archive>, Place) {
    let place = Place::server();
    let url = place.typed().into_string().unwrap();
    let way = Way::before(&url);
    let store = journal::open(&journal::Place::typed(way.instead(&url).as_ref())).await.unwrap();
    (way, store, place)
}

type Heard = Arc<Mutex<Vec<String>>>;

fn patient(store: Arc<dyn Archive>) -> (Patient, Heard) {
    let heard = Heard::default();
    let told = heard.clone();
    let said = move |silence: Silence<'_>| told.lock().unwrap().push(format!("{silence:?}"));
    (Patient::new(store, world(RealSettings::new("/nonexistent", "/")), Arc::default(), Box::new(said)), heard)
}

#[tokio::test]
async fn a_commit_whose_reply_was_lost_is_there_once() {
    for mode in [LOSE_REPLY, LOSE_COMMIT] {
        let (way, store, place) = behind().await;
        let straight = place.store().await;
        let head = store.create(RUN, started("plan")).await.unwrap();
        way.set(mode);
        let bare = store.append(RUN, &head, None, &[said(2)]).await;
        assert!(matches!(bare, Err(Error::Away(_))) && way.lost() == 1, "{bare:?}");
        let there = straight.verify(RUN).await.unwrap();
        assert_eq!(there, if mode == LOSE_REPLY { 2 } else { 1 }, "whether it landed, nobody was told");
        let head = store.append(RUN, &head, None, &[said(2)]).await.unwrap();
        assert_eq!((head.seq, straight.verify(RUN).await.unwrap()), (2, 2));

        // The same, asked with patience: whoever asks does not notice.
        let (patient, heard) = patient(store);
        let lease = patient.take(RUN, "a").await.unwrap();
        for n in 3..8 {
            way.set(mode);
            let head = straight.head(RUN).await.unwrap();
            assert_eq!(patient.append(RUN, &head, Some(lease.fence), &[said(n)]).await.unwrap().seq, u64::from(n));
        }
        assert_eq!((way.lost(), straight.verify(RUN).await.unwrap()), (6, 7));
        assert_eq!(heard.lock().unwrap().len(), 10, "{heard:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_for_a_moment_is_waited_for() {
    for mode in [SHUT, BLACK_HOLE] {
        let (way, store, _place) = behind().await;
        let head = store.create(RUN, started("plan")).await.unwrap();
        let (patient, heard) = patient(store);
        let lease = patient.take(RUN, "a").await.unwrap();
        way.set(mode);
        let came_back = async {
            while heard.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            way.set(OPEN);
        };
        let events = [said(2)];
        let (appended, ()) = tokio::join!(patient.append(RUN, &head, Some(lease.fence), &events), came_back);
        assert_eq!(appended.unwrap().seq, 2);
        let heard = heard.lock().unwrap();
        assert!(heard.len() == 2 && heard[0].starts_with("Begun") && heard[1] == "Ended", "{heard:?}");
    }
}

/// In real time: the lease of 30 s runs out.
#[tokio::test]
async fn a_server_that_stays_away_is_given_up_when_the_lease_ends() {
    let (way, store, place) = behind().await;
    let head = store.create(RUN, started("plan")).await.unwrap();
    let (patient, heard) = patient(store);
    let begun = Instant::now();
    let lease = patient.take(RUN, "a").await.unwrap();
    way.set(SHUT);
    let given_up = patient.append(RUN, &head, Some(lease.fence), &[said(2)]).await;
    let took = begun.elapsed();
    assert!(matches!(&given_up, Err(Error::Failed(why)) if why.contains("until the lease ran out")), "{given_up:?}");
    assert!(took.abs_diff(Duration::from_millis(LEASE_MS)) < Duration::from_secs(2), "{took:?}");
    assert_eq!(heard.lock().unwrap().len(), 1);
    // It has nothing of it, and whoever comes may take the run.
    let straight = place.store().await;
    assert_eq!(straight.verify(RUN).await.unwrap(), 1);
    while straight.holder(RUN).await.unwrap().holds() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(straight.take(RUN, "b").await.unwrap().from.as_deref(), Some("a"));
}

/// A driver that is stopped in the middle of a transaction holds the row of its run: the server lets go of it.
#[tokio::test]
async fn a_driver_that_falls_silent_in_a_transaction_keeps_nobody_from_the_run() {
    let (way, store, place) = behind().await;
    let head = store.create(RUN, started("plan")).await.unwrap();
    let straight = place.store().await;
    way.set(SWALLOW);
    let (silent, other) = ([said(2)], [said(3)]);
    let speaks = async {
        while way.lost() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let begun = Instant::now();
        let spoken = straight.append(RUN, &head, None, &other).await;
        (spoken, begun.elapsed())
    };
    let (appended, (spoken, waited)) = tokio::join!(store.append(RUN, &head, None, &silent), speaks);
    assert!(matches!(appended, Err(Error::Away(_))), "{appended:?}");
    assert_eq!(spoken.unwrap().seq, 2);
    assert!(waited > Duration::from_secs(3), "nobody was in the way: {waited:?}");
    way.set(OPEN);
    assert_eq!(store.append(RUN, &head, None, &silent).await, Err(Error::Moved), "it had not landed");
}
