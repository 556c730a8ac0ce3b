//! One run's end and another one's beginning are one append: all of it or nothing, once, and what was held is never free.

use drplan::journal::{Adoption, End, Error, Event, Head, Stamped};
use serde_json::Value;

use super::places::{OTHER, Place, RUN};
use super::{said, started};

fn last() -> [Stamped; 2] {
    let event = Event::AdoptedBy { run: OTHER.to_owned(), who: "me".to_owned(), reason: "mended".to_owned() };
    [said(6), (said(7).0, event)]
}

fn first() -> [Stamped; 2] {
    let event = Event::Adopted {
        run: RUN.to_owned(),
        head: "00".to_owned(),
        who: "me".to_owned(),
        reason: "mended".to_owned(),
        carried: Vec::new(),
        beside: Value::Null,
    };
    [started("plan"), (said(7).0, event)]
}

fn held(target: &str, run: &str) -> Error {
    Error::AssetHeld { target: target.to_owned(), run: run.to_owned() }
}

#[tokio::test]
async fn one_run_ends_and_the_other_begins_with_what_it_held() {
    for place in Place::all() {
        let (store, head) = place.begun().await;
        let assets = ["db at home".to_owned(), "name".to_owned()];
        store.hold(RUN, &assets).await.unwrap();
        let lease = store.take(RUN, "me").await.unwrap();
        let (last, first) = (last(), first());
        let adoption = Adoption { old: RUN, head: &head, fence: lease.fence, last: &last, new: OTHER, first: &first };
        let new = store.adopt(adoption).await.unwrap();
        assert_eq!((new.seq, store.head(OTHER).await.unwrap()), (2, new.clone()));
        assert_eq!((store.verify(RUN).await.unwrap(), store.verify(OTHER).await.unwrap()), (7, 2));
        let row = |run: &str, rows: &[drplan::journal::RunRow]| rows.iter().find(|r| r.id == run).unwrap().clone();
        let rows = store.runs().await.unwrap();
        assert_eq!((row(RUN, &rows).finished, row(RUN, &rows).closed), (Some(End::Adopted), None));
        assert_eq!((row(OTHER, &rows).finished, row(OTHER, &rows).holder), (None, None));
        // What was held is held by the new run, which takes it again as its own.
        assert_eq!(store.hold(RUN, &assets[..1]).await, Err(held("db at home", OTHER)));
        store.hold(OTHER, &assets).await.unwrap();
        // Whoever lost the reply says the same again, on another handle too, and it is there once.
        let again = place.store().await;
        assert_eq!(again.adopt(adoption).await.unwrap(), new);
        assert_eq!((again.verify(RUN).await.unwrap(), again.verify(OTHER).await.unwrap()), (7, 2));
        // An end is an end: a third one finds another head.
        let third = Adoption { new: "third", ..adoption };
        assert!(matches!(again.adopt(third).await, Err(Error::Moved)));
        assert_eq!(again.head("third").await, Err(Error::NoRun("third".to_owned())), "nothing of it is there");
        store.give(lease).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_refused_leaves_both_as_they_were() {
    for place in Place::all() {
        let (store, head) = place.begun().await;
        store.hold(RUN, &["db".to_owned()]).await.unwrap();
        let lease = store.take(RUN, "a").await.unwrap();
        let (last, first) = (last(), first());
        let good = Adoption { old: RUN, head: &head, fence: lease.fence, last: &last, new: OTHER, first: &first };
        let older = Head { seq: 4, digest: head.digest.clone() };
        let other = place.store().await;
        let fence = other.seize(RUN, "b").await.unwrap().fence;
        for (adoption, why) in [
            (good, Error::Fenced),
            (Adoption { fence, head: &older, ..good }, Error::Moved),
            (Adoption { old: "nobody", fence, ..good }, Error::NoRun("nobody".to_owned())),
        ] {
            assert_eq!(store.adopt(adoption).await, Err(why));
            assert_eq!(store.head(OTHER).await, Err(Error::NoRun(OTHER.to_owned())));
            assert_eq!((store.head(RUN).await.unwrap(), store.verify(RUN).await.unwrap()), (head.clone(), 5));
            assert_eq!(store.runs().await.unwrap()[0].finished, None);
        }
        store.create("third", started("third")).await.unwrap();
        assert_eq!(store.hold("third", &["db".to_owned()]).await, Err(held("db", RUN)));
        // A name that somebody has already is not begun over.
        let taken = Adoption { new: "third", fence, ..good };
        assert_eq!(store.adopt(taken).await, Err(Error::Moved));
        assert_eq!(store.verify(RUN).await.unwrap(), 5);
    }
}
