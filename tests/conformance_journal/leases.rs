//! Who holds a run: of two that want it at once one has it, and whoever lost it appends nothing.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use drplan::journal::{Error, Event, Head, Lease};

use super::places::{Place, RUN};
use super::{LEASE_MS, said};

/// How many races each store sees.
fn races() -> u32 {
    std::env::var("DRPLAN_RACES").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

#[tokio::test]
async fn a_lease_is_broken_whoever_holds_it() {
    for place in Place::all() {
        let (store, head) = place.begun().await;
        let lost = store.take(RUN, "a").await.unwrap();
        let other = place.store().await;
        let lease = other.seize(RUN, "b").await.unwrap();
        assert_eq!((lease.fence, lease.from.as_deref()), (2, Some("a")));
        let broken = Event::LeaseBroken { fence: 2, from: lease.from.clone(), who: "b".to_owned(), reason: "a is stuck".to_owned() };
        let head = other.append(RUN, &head, Some(lease.fence), &[(said(0).0, broken)]).await.unwrap();
        other.give(lease).await.unwrap();
        assert_eq!(store.append(RUN, &head, Some(lost.fence), &[said(7)]).await, Err(Error::Fenced));
        assert_eq!(store.beat(&lost).await, Err(Error::Fenced));
        let holder = other.holder(RUN).await.unwrap();
        assert_eq!((holder.fence, holder.name.clone(), holder.holds()), (2, None, false));
        assert_eq!(store.take(RUN, "c").await.unwrap().from, None);
    }
}

/// The lease, and what became of the append.
type Won = (Lease, Result<Head, Error>);

/// A thread with a runtime and a handle of its own: for each race that it is told of it takes the lease and appends.
struct Racer {
    races: Sender<(u32, Head)>,
    ends: Receiver<Result<Won, Error>>,
}

impl Racer {
    fn new(name: &'static str, place: &Place, barrier: Arc<Barrier>) -> Racer {
        let (races, told) = channel::<(u32, Head)>();
        let (tell, ends) = channel();
        let place = place.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let store = runtime.block_on(place.store());
            for (n, head) in told {
                barrier.wait();
                let ended = runtime.block_on(async {
                    let lease = store.take(RUN, name).await?;
                    let append = store.append(RUN, &head, Some(lease.fence), &[said(n)]).await;
                    Ok((lease, append))
                });
                let _ = tell.send(ended);
            }
        });
        Racer { races, ends }
    }
}

/// Two threads want the same run at the same moment, again and again: by turns one that nobody holds, and one whose holder
/// fell silent. Whoever has it appends; the other is refused.
#[tokio::test]
async fn of_two_drivers_at_once_one_wins() {
    for place in Place::all() {
        let (store, mut head) = place.begun().await;
        let barrier = Arc::new(Barrier::new(2));
        let racers = ["driver 1", "driver 2"].map(|name| Racer::new(name, &place, barrier.clone()));
        let (mut wins, mut refused) = ([0; 2], 0);
        for n in 0..races() {
            let silent = if n % 2 == 0 { None } else { Some(store.take(RUN, "stopped").await.unwrap()) };
            if silent.is_some() {
                place.silence(LEASE_MS + 1_000).await;
            }
            racers.iter().for_each(|racer| racer.races.send((n, head.clone())).unwrap());
            let mut winner: Option<Lease> = None;
            for (i, racer) in racers.iter().enumerate() {
                match racer.ends.recv_timeout(Duration::from_secs(60)).expect("a racer died, or waits for ever") {
                    Ok((lease, append)) => {
                        assert!(winner.is_none(), "race {n}: both have it");
                        head = append.unwrap();
                        wins[i] += 1;
                        winner = Some(lease);
                    }
                    Err(Error::Held { holder }) => {
                        assert!(holder.starts_with("driver ") || holder.contains("just now"), "race {n}: {holder}");
                        refused += 1;
                    }
                    Err(other) => panic!("race {n}: {other}"),
                }
            }
            let winner = winner.unwrap_or_else(|| panic!("race {n}: nobody has it"));
            if let Some(silent) = silent {
                assert_eq!(store.append(RUN, &head, Some(silent.fence), &[said(99)]).await, Err(Error::Fenced), "race {n}");
            }
            store.give(winner).await.unwrap();
        }
        assert_eq!((wins[0] + wins[1], refused), (races(), races()));
        assert_eq!(store.verify(RUN).await.unwrap(), 5 + u64::from(races()));
        println!("{}: {} races, won by one and the other {wins:?} times", store.place(), races());
    }
}
