//! Versions of the tables: an older journal is used as it is, only `migrate` changes it, a newer one is refused.

use std::borrow::Cow;
use std::sync::Arc;

use drplan::journal::schema::NEWEST;
use drplan::journal::{self, Archive, Error, Schema, sqlite};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteSynchronous;
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::places::{Place, RUN};
use super::said;

/// The schemas of a program that has one more than this one.
fn newer() -> &'static Migrator {
    let mut all: Vec<Migration> = NEWEST.iter().cloned().collect();
    let sql = AssertSqlSafe("ALTER TABLE run ADD COLUMN colour TEXT; CREATE TABLE shade (colour TEXT PRIMARY KEY)").into_sql_str();
    all.push(Migration::new(all.len() as i64 + 1, Cow::Borrowed("planted"), MigrationType::Simple, sql, false));
    Box::leak(Box::new(Migrator { migrations: Cow::Owned(all), ..Migrator::DEFAULT }))
}

/// The same journal in the hands of the newer program.
async fn opened(place: &Place) -> Result<Arc<dyn Archive>, Error> {
    match journal::Place::typed(&place.typed()) {
        journal::Place::File(path) => Ok(Arc::new(sqlite::open_with(&path, SqliteSynchronous::Full, newer()).await?)),
        #[cfg(feature = "postgres")]
        journal::Place::Server(address) => Ok(Arc::new(journal::postgres::open_with(&address, newer()).await?)),
        #[cfg(not(feature = "postgres"))]
        journal::Place::Server(_) => panic!("no server is in this build"),
    }
}

#[tokio::test]
async fn only_migrate_changes_an_older_journal_and_only_when_nobody_drives() {
    for place in Place::all().into_iter().skip(1) {
        let (old, head) = place.begun().await;
        let (is, newest) = (old.schema().await.unwrap().is, old.schema().await.unwrap().newest);
        assert_eq!(is, newest, "a new one is made in the newest");
        // The newer program reads and drives it as it is.
        let new = opened(&place).await.unwrap();
        let before = Schema { is, newest: newest + 1 };
        let lease = new.take(RUN, "a").await.unwrap();
        let head = new.append(RUN, &head, Some(lease.fence), &[said(6)]).await.unwrap();
        assert_eq!((new.verify(RUN).await.unwrap(), new.schema().await.unwrap()), (6, before));
        let held = new.migrate().await;
        assert!(matches!(&held, Err(Error::Held { holder }) if holder == &format!("a (run {RUN})")), "{held:?}");
        assert_eq!(new.schema().await.unwrap(), before, "nothing was changed");
        // The older program goes on beside it.
        let head = old.append(RUN, &head, None, &[said(7)]).await.unwrap();
        new.give(lease).await.unwrap();
        assert_eq!(new.migrate().await.unwrap(), before);
        assert_eq!(new.schema().await.unwrap(), Schema { is: newest + 1, newest: newest + 1 });
        assert_eq!(new.migrate().await.unwrap().is, newest + 1, "twice is as once");
        assert_eq!((new.verify(RUN).await.unwrap(), new.head(RUN).await.unwrap()), (7, head.clone()));
        place.change("INSERT INTO shade VALUES ('grey')").await;
        new.append(RUN, &head, None, &[said(8)]).await.unwrap();
        // The older program refuses it now.
        let Err(Error::Failed(why)) = journal::open(&journal::Place::typed(&place.typed())).await.map(drop) else {
            panic!("it was opened")
        };
        assert!(why.ends_with(&format!("was written by a newer drplan (schema {}); use that one", newest + 1)), "{why}");
    }
}

#[tokio::test]
async fn a_new_journal_is_made_once_however_many_want_it() {
    for place in Place::all().into_iter().skip(1) {
        let typed = journal::Place::typed(&place.typed());
        let all = futures_util::future::join_all((0..8).map(|_| journal::open(&typed))).await;
        for store in all {
            assert_eq!(store.unwrap().runs().await.unwrap(), []);
        }
    }
}

#[tokio::test]
async fn a_change_that_fails_leaves_the_journal_as_it_was() {
    for place in Place::all().into_iter().skip(1) {
        let (old, _) = place.begun().await;
        place.change("CREATE TABLE shade (in_the_way TEXT)").await;
        let new = opened(&place).await.unwrap();
        assert!(matches!(new.migrate().await, Err(Error::Failed(_))));
        let again = opened(&place).await.unwrap();
        assert_eq!((again.schema().await.unwrap().is, again.verify(RUN).await.unwrap()), (old.schema().await.unwrap().is, 5));
        // Its first half was taken back too.
        place.change("ALTER TABLE run ADD COLUMN colour TEXT").await;
    }
}
