//! A journal in a database, written once for every dialect: what is compared, what is inserted, who holds a lease. It
//! does not know which database it is, nor what an event means.
//!
//! Every append first moves the run's head from where its writer saw it, and compares the writer's fence, in one
//! statement that locks the run's row. Said again on the same head, an append that had landed is found by its number
//! and digest, and is not written twice: so a commit whose reply was lost may be repeated.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::migrate::{Migrate, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::base::{Database, Dialect, Mode, Use};
use super::door::{Arg, Cell, Sql};
use super::{
    Adoption, Archive, Entry, Error, Event, Head, Holder, Lease, Result, Row, RunRow, Schema, Stamped, Standing, Store, entries_after,
    rows, schema, standing_of,
};

impl<D: Dialect> Database<D> {
    /// Opens it; a new one is made at once, an older one stays as it is, a newer one is refused.
    pub(super) async fn open(dialect: D, migrator: &'static Migrator) -> Result<Database<D>> {
        let base = Database::new(dialect, migrator);
        let mut at = base.begin(Mode::Bare).await?;
        let found = base.version(&mut at).await;
        let Schema { is, .. } = at.end(found).await?;
        if is == 0 {
            let mut tx = base.begin(Mode::Write).await?;
            let made = base.upgrade(&mut tx).await;
            tx.end(made).await?;
        }
        Ok(base)
    }

    async fn version(&self, at: &mut Use<'_, D>) -> Result<Schema> {
        let newest = schema::newest(self.migrator);
        if at.row(D::MADE, &[]).await?.is_none() {
            return Ok(Schema { is: 0, newest });
        }
        let sql = "SELECT version, CAST(CASE WHEN success THEN 1 ELSE 0 END AS BIGINT) FROM _sqlx_migrations ORDER BY version";
        let found = at.rows(sql, &[]).await?;
        let mut is = 0;
        for row in found {
            is = row[0].int()?;
            if row[1].int()? == 0 {
                return Err(Error::Failed(format!(
                    "{}: its change to schema {is} broke off half-way; restore it from a copy",
                    self.place()
                )));
            }
        }
        if is > newest {
            return Err(Error::Failed(format!("{} was written by a newer drplan (schema {is}); use that one", self.place())));
        }
        Ok(Schema { is, newest })
    }

    /// Brings it to the newest schema, in the caller's transaction. Nobody may drive meanwhile.
    async fn upgrade(&self, tx: &mut Use<'_, D>) -> Result<Schema> {
        tx.script(D::ALONE).await?;
        let before = self.version(tx).await?;
        if before.is == before.newest {
            return Ok(before);
        }
        if before.is > 0
            && let Some(held) = self.listed(tx).await?.into_iter().find(|(_, holder)| holder.holds())
        {
            return Err(Error::Held { holder: format!("{} (run {})", held.1.name.unwrap_or_default(), held.0.id) });
        }
        let broke = |e: sqlx::migrate::MigrateError| sqlx::Error::Migrate(Box::new(e));
        let made = tx.connection().ensure_migrations_table(schema::TABLE).await.map_err(broke);
        tx.judged(made)?;
        for migration in self.migrator.iter().filter(|m| m.version > before.is) {
            let changed = tx.connection().script(migration.sql.clone()).await;
            tx.judged(changed)?;
            let noted = tx.connection().skip(schema::TABLE, migration).await.map_err(broke);
            tx.judged(noted)?;
        }
        Ok(before)
    }

    /// Every run with who holds it.
    async fn listed(&self, at: &mut Use<'_, D>) -> Result<Vec<(RunRow, Holder)>> {
        let now = at.now_ms().await?;
        let sql = "SELECT fence, holder, boot, beat_ms, id, plan, scenario, started_at, head, digest, finished
            FROM run ORDER BY started_at DESC, id DESC";
        let found = at.rows(sql, &[]).await?;
        found.iter().map(|row| self.run_row(row, now)).collect()
    }

    fn run_row(&self, row: &[Cell], now: i64) -> Result<(RunRow, Holder)> {
        let id = row[4].text()?.to_owned();
        let holder = self.holder(&id, row, now)?;
        let (finished, closed) = Standing::read(row[10].maybe_text()?);
        let run = RunRow {
            id,
            plan: row[5].text()?.to_owned(),
            scenario: row[6].text()?.to_owned(),
            started_at: timestamp(row[7].int()?)?,
            head: Head { seq: row[8].count()?, digest: row[9].text()?.to_owned() },
            finished,
            closed,
            holder: holder.name.clone().filter(|_| holder.holds()),
        };
        Ok((run, holder))
    }

    /// From `fence, holder, boot, beat_ms`.
    fn holder(&self, run: &str, row: &[Cell], now: i64) -> Result<Holder> {
        let fence = row[0].count()?;
        let name = row[1].maybe_text()?.map(str::to_owned);
        let same = row[2].maybe_text()? == Some(&self.dialect.boot());
        let silent_ms = if same && row[3] != Cell::Null { Some(now - row[3].int()?) } else { None };
        let alive = name.is_some() && self.dialect.alive(run, fence);
        Ok(Holder { fence, name, silent_ms, alive })
    }

    async fn held_by(&self, at: &mut Use<'_, D>, run: &str) -> Result<Holder> {
        let found = at.row("SELECT fence, holder, boot, beat_ms FROM run WHERE id = $1", &[Arg::Text(run)]).await?;
        let row = found.ok_or_else(|| Error::NoRun(run.to_owned()))?;
        let now = at.now_ms().await?;
        self.holder(run, &row, now)
    }

    async fn insert(&self, tx: &mut Use<'_, D>, run: &str, new: &[Row]) -> Result<()> {
        for some in new.chunks(AT_ONCE) {
            let mut args = vec![Arg::Text(run)];
            for row in some {
                let cells = [Arg::Int(row.seq as i64), Arg::Int(row.at.as_microsecond()), Arg::Text(&row.body), Arg::Text(&row.digest)];
                args.extend(cells);
            }
            tx.execute_made(insert_of(some.len()), &args).await?;
        }
        Ok(())
    }

    /// What follows from events that were appended, beside them: how the run stands, and what it holds.
    async fn stand(&self, tx: &mut Use<'_, D>, run: &str, standing: Option<Standing>) -> Result<()> {
        let Some(standing) = standing else { return Ok(()) };
        tx.execute("UPDATE run SET finished = $2 WHERE id = $1", &[Arg::Text(run), Arg::MaybeText(standing.word())]).await?;
        if matches!(standing, Standing::Ended(_)) {
            tx.execute("DELETE FROM held WHERE run = $1", &[Arg::Text(run)]).await?;
        }
        Ok(())
    }

    async fn create_in(&self, tx: &mut Use<'_, D>, run: &str, first: &Stamped) -> Result<Head> {
        let (plan, scenario) = first_of(run, &first.1)?;
        let new = rows(run, &Head::default(), std::slice::from_ref(first));
        let head = Head::of(&new[0]);
        let args = [
            Arg::Text(run),
            Arg::Text(plan),
            Arg::Text(scenario),
            Arg::Int(first.0.as_microsecond()),
            Arg::Int(head.seq as i64),
            Arg::Text(&head.digest),
        ];
        if tx.execute(BEGIN_RUN, &args).await? == 0 {
            return if landed(tx, run, &head).await? { Ok(head) } else { Err(Error::Moved) };
        }
        self.insert(tx, run, &new).await?;
        Ok(head)
    }

    async fn append_in(&self, tx: &mut Use<'_, D>, run: &str, head: &Head, fence: Option<u64>, events: &[Stamped]) -> Result<Head> {
        let new = rows(run, head, events);
        let last = new.last().map_or_else(|| head.clone(), Head::of);
        let args = [
            Arg::Text(run),
            Arg::Int(last.seq as i64),
            Arg::Text(&last.digest),
            Arg::Int(head.seq as i64),
            Arg::Text(&head.digest),
            Arg::MaybeInt(fence.map(|f| f as i64)),
            Arg::MaybeInt(self.dialect.own_ms()),
        ];
        // The row is locked by this, and stays so to the end.
        if tx.execute(D::MOVE_HEAD, &args).await? == 0 {
            return refused(tx, run, fence, &last).await;
        }
        self.insert(tx, run, &new).await?;
        self.stand(tx, run, standing_of(events.iter().map(|(_, e)| e))).await?;
        Ok(last)
    }

    /// The lease, if it is free or `force` says so.
    async fn lease_in(&self, tx: &mut Use<'_, D>, run: &str, holder: &str, force: bool) -> Result<Lease> {
        // Locks the row, in words that every dialect knows.
        tx.execute("UPDATE run SET fence = fence WHERE id = $1", &[Arg::Text(run)]).await?;
        let before = self.held_by(tx, run).await?;
        if before.holds() && !force {
            return Err(Error::Held { holder: before.name.unwrap_or_default() });
        }
        let closed = tx.row("SELECT finished FROM run WHERE id = $1", &[Arg::Text(run)]).await?;
        if let Some(closed) = closed.map(|row| row[0].maybe_text().map(Standing::read)).transpose()?.and_then(|(_, closed)| closed) {
            return Err(Error::Closed { run: run.to_owned(), how: closed });
        }
        // The lock is there before the fence is seen, so that nobody finds a holder without one.
        let fence = before.fence + 1;
        let lock = self.dialect.lock(run, fence)?;
        let now = tx.now_ms().await?;
        let args = [Arg::Text(run), Arg::Int(fence as i64), Arg::Text(holder), Arg::Text(&self.dialect.boot()), Arg::Int(now)];
        tx.execute("UPDATE run SET fence = $2, holder = $3, boot = $4, beat_ms = $5 WHERE id = $1", &args).await?;
        let quiet_ms = before.silent_ms.map(|ms| ms.max(0).unsigned_abs());
        Ok(Lease { run: run.to_owned(), fence, from: before.name, quiet_ms, _lock: lock })
    }

    async fn lease_by(&self, run: &str, holder: &str, force: bool) -> Result<Lease> {
        let mut tx = self.begin(Mode::Write).await?;
        let taken = self.lease_in(&mut tx, run, holder, force).await;
        let lease = tx.end(taken).await?;
        self.dialect.unlock(run, lease.fence - 1);
        Ok(lease)
    }

    async fn hold_in(&self, tx: &mut Use<'_, D>, run: &str, targets: &[String]) -> Result<()> {
        // In one order, so that two runs that want the same never wait for each other.
        let mut targets: Vec<&String> = targets.iter().collect();
        targets.sort();
        for target in targets {
            let args = [Arg::Text(target), Arg::Text(run)];
            tx.execute("INSERT INTO held (target, run) VALUES ($1, $2) ON CONFLICT (target) DO NOTHING", &args).await?;
            let found = tx.row("SELECT run FROM held WHERE target = $1", &args[..1]).await?;
            match found.map(|row| row[0].text().map(str::to_owned)).transpose()? {
                Some(other) if other != run => return Err(Error::AssetHeld { target: target.clone(), run: other }),
                Some(_) => {}
                // Given back between the two.
                None => return Err(Error::Away(format!("{target} was given back just now"))),
            }
        }
        Ok(())
    }

    async fn adopt_in(&self, tx: &mut Use<'_, D>, adoption: Adoption<'_>) -> Result<Head> {
        let Adoption { old, new, .. } = adoption;
        let [first, then @ ..] = adoption.first else { return Err(Error::Damaged(format!("run {new} begins with nothing"))) };
        let begun = self.create_in(tx, new, first).await?;
        let rest = rows(new, &begun, then);
        let Some(head) = rest.last().map(Head::of) else { return Err(Error::Damaged(format!("run {new} takes nothing over"))) };
        if landed(tx, new, &head).await? {
            return Ok(head);
        }
        let args = [Arg::Text(new), Arg::Int(head.seq as i64), Arg::Text(&head.digest)];
        tx.execute("UPDATE run SET head = $2, digest = $3 WHERE id = $1", &args).await?;
        self.insert(tx, new, &rest).await?;
        // What landed for another run is no reason to begin this one.
        if head_of(tx, old).await? != *adoption.head {
            let fence = tx.row("SELECT fence FROM run WHERE id = $1", &[Arg::Text(old)]).await?;
            let now = fence.map(|row| row[0].count()).transpose()?;
            return Err(if now == Some(adoption.fence) { Error::Moved } else { Error::Fenced });
        }
        // Before the old run ends, which lets go of what it holds.
        tx.execute("UPDATE held SET run = $2 WHERE run = $1", &[Arg::Text(old), Arg::Text(new)]).await?;
        self.append_in(tx, old, adoption.head, Some(adoption.fence), adoption.last).await?;
        Ok(head)
    }

    async fn verify_in(&self, tx: &mut Use<'_, D>, run: &str) -> Result<u64> {
        let head = head_of(tx, run).await?;
        let found = rows_of(tx, run, 0).await?;
        super::verified(run, &found, &head)?;
        Ok(head.seq)
    }

    async fn restore_in(&self, tx: &mut Use<'_, D>, run: &str, all: &[Row], then: &[Stamped]) -> Result<Head> {
        let events = super::check_rows(run, &Head::default(), all)?;
        let (first, last) = (&events[0], Head::of(&all[all.len() - 1]));
        let (plan, scenario) = first_of(run, &first.event)?;
        let begun = Head::of(&all[0]);
        let args = [
            Arg::Text(run),
            Arg::Text(plan),
            Arg::Text(scenario),
            Arg::Int(first.at.as_microsecond()),
            Arg::Int(begun.seq as i64),
            Arg::Text(&begun.digest),
        ];
        let made = tx.execute(BEGIN_RUN, &args).await?;
        let here = if made == 1 { Head::default() } else { head_of(tx, run).await? };
        super::continues(run, &here, made == 1 || self.closed(tx, run).await?, all)?;
        self.insert(tx, run, &all[here.seq as usize..]).await?;
        let added = rows(run, &last, then);
        self.insert(tx, run, &added).await?;
        let last = added.last().map_or(last, Head::of);
        // A driver here must not have a fence that one elsewhere had.
        let fence = super::highest_fence(&events) as i64;
        let args = [Arg::Text(run), Arg::Int(last.seq as i64), Arg::Text(&last.digest), Arg::Int(fence)];
        let moved = "UPDATE run SET head = $2, digest = $3, fence = CASE WHEN fence < $4 THEN $4 ELSE fence END, holder = NULL,
            beat_ms = NULL WHERE id = $1";
        tx.execute(moved, &args).await?;
        self.stand(tx, run, super::standing_of_import(&events, then)).await?;
        Ok(last)
    }

    async fn closed(&self, tx: &mut Use<'_, D>, run: &str) -> Result<bool> {
        let row = tx.row("SELECT finished FROM run WHERE id = $1", &[Arg::Text(run)]).await?;
        let word = row.ok_or_else(|| Error::NoRun(run.to_owned()))?;
        Ok(Standing::read(word[0].maybe_text()?).1.is_some())
    }
}

/// How many events one statement adds: each statement is a way to the database and back.
const AT_ONCE: usize = 32;

/// The statement that adds so many events of run `$1`.
fn insert_of(events: usize) -> SqlStr {
    let row = |n: usize| format!("($1, ${}, ${}, ${}, ${})", 4 * n + 2, 4 * n + 3, 4 * n + 4, 4 * n + 5);
    let rows: Vec<String> = (0..events).map(row).collect();
    AssertSqlSafe(format!("INSERT INTO event (run, seq, at, body, digest) VALUES {}", rows.join(", "))).into_sql_str()
}

const BEGIN_RUN: &str = "INSERT INTO run (id, plan, scenario, started_at, head, digest, fence) VALUES ($1, $2, $3, $4, $5, $6, 0)
    ON CONFLICT (id) DO NOTHING";

fn timestamp(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| Error::Damaged(format!("{micros} is not a time")))
}

/// Plan and scenario of a run's first event.
fn first_of<'a>(run: &str, event: &'a Event) -> Result<(&'a str, &'a str)> {
    match event {
        Event::RunStarted { plan, scenario, .. } => Ok((plan, scenario)),
        _ => Err(Error::Damaged(format!("run {run} does not begin with its start"))),
    }
}

async fn head_of<D: Dialect>(at: &mut Use<'_, D>, run: &str) -> Result<Head> {
    let found = at.row("SELECT head, digest FROM run WHERE id = $1", &[Arg::Text(run)]).await?;
    let row = found.ok_or_else(|| Error::NoRun(run.to_owned()))?;
    Ok(Head { seq: row[0].count()?, digest: row[1].text()?.to_owned() })
}

/// The rows from a number on, that one included.
async fn rows_of<D: Dialect>(at: &mut Use<'_, D>, run: &str, from: u64) -> Result<Vec<Row>> {
    let sql = "SELECT seq, at, body, digest FROM event WHERE run = $1 AND seq >= $2 ORDER BY seq";
    let found = at.rows(sql, &[Arg::Text(run), Arg::Int(from as i64)]).await?;
    let row = |cells: Vec<Cell>| {
        let [seq, at, body, digest] = <[Cell; 4]>::try_from(cells).map_err(|_| Error::Damaged("a row of another shape".to_owned()))?;
        let body = match body {
            Cell::Text(body) => body,
            other => other.text()?.to_owned(),
        };
        Ok(Row { seq: seq.count()?, at: timestamp(at.int()?)?, body, digest: digest.text()?.to_owned() })
    };
    found.into_iter().map(row).collect()
}

async fn beat_in<D: Dialect>(tx: &mut Use<'_, D>, lease: &Lease) -> Result<()> {
    let now = tx.now_ms().await?;
    let args = [Arg::Text(&lease.run), Arg::Int(lease.fence as i64), Arg::Int(now)];
    let beaten = tx.execute("UPDATE run SET beat_ms = $3 WHERE id = $1 AND fence = $2", &args).await?;
    if beaten == 1 { Ok(()) } else { Err(Error::Fenced) }
}

/// Whether this very event stands in the run: then whoever wrote it need not write it again.
async fn landed<D: Dialect>(tx: &mut Use<'_, D>, run: &str, last: &Head) -> Result<bool> {
    let args = [Arg::Text(run), Arg::Int(last.seq as i64), Arg::Text(&last.digest)];
    Ok(tx.row("SELECT seq FROM event WHERE run = $1 AND seq = $2 AND digest = $3", &args).await?.is_some())
}

/// Why an append did not move the head; its own end if it had landed before.
async fn refused<D: Dialect>(tx: &mut Use<'_, D>, run: &str, fence: Option<u64>, last: &Head) -> Result<Head> {
    let found = tx.row("SELECT fence, finished FROM run WHERE id = $1", &[Arg::Text(run)]).await?;
    let row = found.ok_or_else(|| Error::NoRun(run.to_owned()))?;
    let now = row[0].count()?;
    if fence.is_some_and(|f| f != now) {
        return Err(Error::Fenced);
    }
    if landed(tx, run, last).await? {
        return Ok(last.clone());
    }
    match Standing::read(row[1].maybe_text()?).1 {
        Some(how) => Err(Error::Closed { run: run.to_owned(), how }),
        None => Err(Error::Moved),
    }
}

#[async_trait]
impl<D: Dialect> Store for Database<D> {
    async fn create(&self, run: &str, first: Stamped) -> Result<Head> {
        let mut tx = self.begin(Mode::Write).await?;
        let done = self.create_in(&mut tx, run, &first).await;
        tx.end(done).await
    }

    async fn runs(&self) -> Result<Vec<RunRow>> {
        let mut at = self.begin(Mode::Bare).await?;
        Ok(self.listed(&mut at).await?.into_iter().map(|(row, _)| row).collect())
    }

    async fn head(&self, run: &str) -> Result<Head> {
        head_of(&mut self.begin(Mode::Bare).await?, run).await
    }

    async fn read(&self, run: &str, after: u64) -> Result<Vec<Entry>> {
        entries_after(run, after, &self.rows(run, after.max(1)).await?)
    }

    async fn append(&self, run: &str, head: &Head, fence: Option<u64>, events: &[Stamped]) -> Result<Head> {
        let mut tx = self.begin(Mode::Write).await?;
        let done = self.append_in(&mut tx, run, head, fence, events).await;
        tx.end(done).await
    }

    async fn take(&self, run: &str, holder: &str) -> Result<Lease> {
        self.lease_by(run, holder, false).await
    }

    async fn beat(&self, lease: &Lease) -> Result<()> {
        let mut tx = self.begin(Mode::Write).await?;
        let beaten = beat_in(&mut tx, lease).await;
        tx.end(beaten).await
    }

    async fn give(&self, lease: Lease) -> Result<()> {
        let mut tx = self.begin(Mode::Write).await?;
        let args = [Arg::Text(&lease.run), Arg::Int(lease.fence as i64)];
        // Its last sign of life stays: whoever comes next knows how long the run was left alone.
        let given = tx.execute("UPDATE run SET holder = NULL WHERE id = $1 AND fence = $2", &args).await;
        tx.end(given).await?;
        self.dialect.unlock(&lease.run, lease.fence);
        Ok(())
    }

    async fn hold(&self, run: &str, targets: &[String]) -> Result<()> {
        let mut tx = self.begin(Mode::Write).await?;
        let done = self.hold_in(&mut tx, run, targets).await;
        tx.end(done).await
    }

    async fn adopt(&self, adoption: Adoption<'_>) -> Result<Head> {
        let mut tx = self.begin(Mode::Write).await?;
        let done = self.adopt_in(&mut tx, adoption).await;
        tx.end(done).await
    }

    async fn verify(&self, run: &str) -> Result<u64> {
        // One view of both: a driver may append meanwhile.
        let mut tx = self.begin(Mode::Read).await?;
        let done = self.verify_in(&mut tx, run).await;
        tx.end(done).await
    }

    fn place(&self) -> String {
        self.dialect.place()
    }
}

#[async_trait]
impl<D: Dialect> Archive for Database<D> {
    async fn rows(&self, run: &str, from: u64) -> Result<Vec<Row>> {
        let mut at = self.begin(Mode::Bare).await?;
        let found = rows_of(&mut at, run, from).await?;
        if found.is_empty() {
            head_of(&mut at, run).await?;
        }
        Ok(found)
    }

    async fn seize(&self, run: &str, holder: &str) -> Result<Lease> {
        self.lease_by(run, holder, true).await
    }

    async fn holder(&self, run: &str) -> Result<Holder> {
        self.held_by(&mut self.begin(Mode::Bare).await?, run).await
    }

    async fn restore(&self, run: &str, all: &[Row], then: &[Stamped]) -> Result<Head> {
        let mut tx = self.begin(Mode::Write).await?;
        let done = self.restore_in(&mut tx, run, all, then).await;
        tx.end(done).await
    }

    async fn schema(&self) -> Result<Schema> {
        let mut at = self.begin(Mode::Bare).await?;
        self.version(&mut at).await
    }

    async fn migrate(&self) -> Result<Schema> {
        let mut tx = self.begin(Mode::Write).await?;
        let done = self.upgrade(&mut tx).await;
        tx.end(done).await
    }

    fn caution(&self) -> Option<String> {
        self.dialect.caution()
    }
}
