//! A run as a text: it comes back whole, and whatever happens to the text is seen.

use drplan::journal::export::{read, write};
use drplan::journal::{Closed, Error, Event, Row};

use super::places::{OTHER, Place, RUN};
use super::{finished, said, started};

fn handed_over() -> Event {
    Event::HandedOver { who: "me@here".to_owned(), from: "j.db".to_owned(), reason: "moving".to_owned() }
}

fn imported(taken_over: bool) -> Event {
    Event::Imported { taken_over, who: "me@there".to_owned(), reason: "why".to_owned() }
}

async fn text() -> (String, Vec<Row>) {
    let (store, _) = Place::Memory(Default::default()).begun().await;
    let rows = store.rows(RUN, 1).await.unwrap();
    (write(RUN, &rows), rows)
}

/// Detected means: [`read`] gives `Err(Damaged)`, and so `journal verify FILE` and `journal import FILE` end with 16 and
/// change nothing.
fn detected(text: &[u8], what: &str) {
    let seen = read(text);
    assert!(matches!(seen, Err(Error::Damaged(_))), "{what}: {:?}", seen.map(|e| e.head()));
}

#[tokio::test]
async fn every_change_of_an_export_is_seen() {
    let (text, rows) = text().await;
    let whole = read(text.as_bytes()).unwrap();
    assert_eq!((whole.run.as_str(), &whole.rows, whole.entries.len()), (RUN, &rows, 5));
    assert_eq!(write(&whole.run, &whole.rows), text, "it comes back byte for byte");
    let bytes = text.as_bytes();
    let mut tried = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << bit;
            detected(&changed, &format!("bit {bit} of byte {at}"));
            tried += 1;
        }
        let mut fewer = bytes.to_vec();
        fewer.remove(at);
        detected(&fewer, &format!("without byte {at}"));
        let mut more = bytes.to_vec();
        more.insert(at, b' ');
        detected(&more, &format!("a space before byte {at}"));
        detected(&bytes[..at], &format!("cut before byte {at}"));
        tried += 3;
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for n in 0..lines.len() {
        detected(lines[..n].concat().as_bytes(), &format!("the last {} lines cut", lines.len() - n));
        detected([&lines[..n], &lines[n + 1..]].concat().concat().as_bytes(), &format!("line {n} cut"));
        detected([&lines[..=n], &lines[n..]].concat().concat().as_bytes(), &format!("line {n} doubled"));
        for m in 0..n {
            let mut swapped = lines.clone();
            swapped.swap(n, m);
            detected(swapped.concat().as_bytes(), &format!("lines {m} and {n} swapped"));
            tried += 1;
        }
        tried += 3;
    }
    detected(format!("{text}{text}").as_bytes(), "twice");
    detected(text.replace('\n', "\r\n").as_bytes(), "lines as Windows ends them");
    println!("{} bytes, {tried} changes, each seen", bytes.len());
}

#[tokio::test]
async fn a_run_that_was_handed_over_is_driven_where_it_was_imported_and_nowhere_else() {
    let (from, to) = (Place::all(), Place::all());
    for (here, there) in from.into_iter().zip(to) {
        let (store, head) = here.begun().await;
        let lease = store.take(RUN, "a").await.unwrap();
        let taken = Event::LeaseTaken { fence: 7, holder: "a".to_owned(), from: None };
        let head = store.append(RUN, &head, Some(lease.fence), &[(said(0).0, taken), (said(0).0, handed_over())]).await.unwrap();
        store.give(lease).await.unwrap();
        let closed = || Error::Closed { run: RUN.to_owned(), how: Closed::HandedOver };
        assert_eq!(store.take(RUN, "b").await.unwrap_err(), closed());
        assert_eq!(store.seize(RUN, "b").await.unwrap_err(), closed());
        assert_eq!(store.append(RUN, &head, None, &[said(9)]).await, Err(closed()), "a word would be lost");
        assert_eq!(store.runs().await.unwrap()[0].closed, Some(Closed::HandedOver));

        let other = there.store().await;
        other.create(OTHER, started("other")).await.unwrap();
        let rows = store.rows(RUN, 1).await.unwrap();
        let then = [(said(9).0, imported(false))];
        let head = other.restore(RUN, &rows, &then).await.unwrap();
        assert_eq!((head.seq, other.verify(RUN).await.unwrap()), (8, 8));
        assert!(matches!(other.restore(RUN, &rows, &then).await, Err(Error::Present(_))), "it is driven from there now");
        let lease = other.take(RUN, "b").await.unwrap();
        assert_eq!(lease.fence, 8, "no driver there has the fence of one here");
        let head = other.append(RUN, &head, Some(lease.fence), &[said(10), (said(11).0, handed_over())]).await.unwrap();

        // And back: what is here is continued.
        let rows = other.rows(RUN, 1).await.unwrap();
        assert_eq!(store.restore(RUN, &rows, &[]).await.unwrap(), head, "for reading, nothing is added");
        assert_eq!(store.take(RUN, "c").await.unwrap_err(), Error::Closed { run: RUN.to_owned(), how: Closed::Imported });
        let head = store.restore(RUN, &rows, &[(said(12).0, imported(true))]).await.unwrap();
        assert_eq!((head.seq, store.verify(RUN).await.unwrap(), store.runs().await.unwrap()[0].closed), (11, 11, None));
        let lease = store.take(RUN, "c").await.unwrap();
        assert_eq!(store.append(RUN, &head, Some(lease.fence), &[finished()]).await.unwrap().seq, 12);
    }
}

#[tokio::test]
async fn what_does_not_continue_a_run_is_not_taken_in() {
    let (_, rows) = text().await;
    for place in Place::all() {
        let (store, head) = place.begun().await;
        let head = store.append(RUN, &head, None, &[said(6), (said(7).0, handed_over())]).await.unwrap();
        let shorter = store.restore(RUN, &rows, &[]).await;
        assert!(matches!(&shorter, Err(Error::Present(why)) if why.contains("with events that the export does not have")), "{shorter:?}");
        let mut damaged = store.rows(RUN, 1).await.unwrap();
        damaged[3].body.push(' ');
        assert!(matches!(store.restore(RUN, &damaged, &[]).await, Err(Error::Damaged(_))));
        assert_eq!((store.head(RUN).await.unwrap(), store.verify(RUN).await.unwrap()), (head, 7), "nothing was changed");
    }
}
