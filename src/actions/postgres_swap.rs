//! Databases of one server that take each other's name: how each stands, whether one was written to, and the swap. No
//! value of a plan stands in a statement but a quoted name. It does not know where a database came from.

use std::time::Duration;

use serde_json::{Value, json};

use super::postgres::{self, identifier, look, maintenance, place};
use super::{Ctx, template, words};
use crate::world::{Answer, Fault, PgTarget};

/// Pause between two looks while sessions end.
const PAUSE: Duration = Duration::from_millis(50);
/// How long sessions that were told to end may take.
const FAREWELL: Duration = Duration::from_secs(10);
/// Longest time of one change of a database.
const CHANGE_MS: u64 = 60_000;
/// Bytes of a name, beyond which the server cuts it.
const NAME_MAX: usize = 63;

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its number, which stays when its name changes.
    pub oid: i64,
    /// Whether it accepts connections.
    pub accepts: bool,
    /// What is noted at it.
    pub comment: String,
}

/// The name of the database that stands beside another.
pub fn beside(name: &str, mark: &str) -> String {
    let tail = format!("_drplan_{mark}");
    let mut keep = name.len().min(NAME_MAX.saturating_sub(tail.len()));
    // What is filled in later cannot be cut here.
    if template::marked(name) {
        keep = name.len();
    }
    while !name.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}{tail}", &name[..keep])
}

/// A database by its name; none if there is none.
pub async fn named(ctx: &Ctx<'_>, name: &str) -> Answer<Option<Database>> {
    let sql = "select oid::bigint as oid, datallowconn as accepts, coalesce(shobj_description(oid, 'pg_database'), '') as comment \
               from pg_database where datname = $1::text";
    let to = maintenance(ctx)?;
    let rows = look(ctx, &to, sql, &[json!(name)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let said = || Fault::refused(format!("{} did not say what it knows of database {}", place(&to), words::code(name)));
    Ok(Some(Database {
        oid: row.get("oid").and_then(Value::as_i64).ok_or_else(said)?,
        accepts: row.get("accepts").and_then(Value::as_bool).ok_or_else(said)?,
        comment: row.get("comment").and_then(Value::as_str).ok_or_else(said)?.to_owned(),
    }))
}

/// What every write to a database changes, and no housekeeping of its server does; none if the server does not count.
/// Counters that a crash threw away are others too.
pub async fn signature(ctx: &Ctx<'_>, name: &str) -> Answer<Option<String>> {
    let sql = "\
select current_setting('track_counts') = 'on' as counts, md5(concat_ws('/',
  (select string_agg(concat_ws(':', relid, n_tup_ins, n_tup_upd, n_tup_del, pg_relation_size(relid)), ',' order by relid)
     from pg_stat_all_tables where relid >= 16384 and schemaname !~ '^pg_toast' or relid = 'pg_largeobject'::regclass),
  (select string_agg(concat_ws(':', oid, relfilenode, xmin), ',' order by oid) from pg_class where oid >= 16384),
  (select string_agg(concat_ws(':', oid, xmin), ',' order by oid) from pg_proc where oid >= 16384),
  (select string_agg(concat_ws(':', schemaname, sequencename, last_value), ',' order by schemaname, sequencename) from pg_sequences)
)) as signature";
    let row = postgres::row(ctx, &at(ctx, name)?, sql, &[]).await?;
    let counts = row.get("counts").and_then(Value::as_bool).unwrap_or(false);
    Ok(row.get("signature").filter(|v| counts && !v.is_null()).map(template::plain))
}

/// How many tables a database has that are not the server's own.
pub async fn tables(ctx: &Ctx<'_>, name: &str) -> Answer<u64> {
    let sql = "select count(*)::bigint as tables from pg_class where relkind in ('r', 'p') and oid >= 16384";
    let row = postgres::row(ctx, &at(ctx, name)?, sql, &[]).await?;
    row.get("tables").and_then(Value::as_u64).ok_or_else(|| Fault::refused("the server did not say how many tables there are"))
}

/// A database of the step's server.
pub fn at(ctx: &Ctx<'_>, name: &str) -> Answer<PgTarget> {
    Ok(PgTarget { database: name.to_owned(), ..maintenance(ctx)? })
}

async fn tell(ctx: &Ctx<'_>, sql: &str) -> Answer<()> {
    ctx.world.postgres.query(&maintenance(ctx)?, sql, &[], false, ctx.exchange_ms(CHANGE_MS)).await.map(drop)
}

/// The name that a number has now, as an expression of SQL.
fn name_of(oid: i64) -> String {
    format!("(select datname from pg_database where oid = {oid})")
}

/// The statement that makes an empty database, with the owner, the encoding and the order of texts of another, if there is
/// one; `old` and `new` are expressions of SQL for their names.
pub fn creation(old: &str, new: &str) -> String {
    // As a whole row: which of its columns there are is the version's own.
    format!(
        "\
select format('create database %I template template0', {new}) || coalesce((
  select format(' owner %I encoding %L lc_collate %L lc_ctype %L', pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding),
      d.datcollate, d.datctype)
    || case to_jsonb(d) ->> 'datlocprovider' when 'i'
      then format(' locale_provider icu icu_locale %L', coalesce(to_jsonb(d) ->> 'daticulocale', to_jsonb(d) ->> 'datlocale')) else '' end
  from pg_database d where d.datname = {old}), '') as s"
    )
}

/// Makes an empty database, like another, if there is one.
pub async fn create(ctx: &Ctx<'_>, name: &str, like: Option<i64>) -> Answer<()> {
    let ask = creation(&like.map_or_else(|| "null::name".to_owned(), name_of), "$1::text");
    let row = postgres::row(ctx, &maintenance(ctx)?, &ask, &[json!(name)]).await?;
    let sql = row.get("s").and_then(Value::as_str).ok_or_else(|| Fault::refused("the server did not say how to make a database"))?;
    tell(ctx, sql).await
}

/// Statements, one a row, which give one database the rights and the settings of another: `old` and `new` are expressions
/// of SQL for their names. They must be executed in one transaction.
pub fn likeness(old: &str, new: &str) -> String {
    format!(
        "\
select s from (
  select 1 as part, 0::bigint as n, format('revoke all on database %I from public', {new}) as s
    from pg_database where datname = {old} and datacl is not null
  union all select 2, 0, format('grant %s on database %I to %s%s', a.privilege_type, {new},
      case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
      case when a.is_grantable then ' with grant option' else '' end)
    from pg_database d, aclexplode(d.datacl) a where d.datname = {old}
  union all select 3, row_number() over (order by r.setrole, c.n, e.n), case e.n
      when 0 then format('select set_config(%L, %L, true)', split_part(c.s, '=', 1), substr(c.s, strpos(c.s, '=') + 1))
      else format(case r.setrole when 0 then 'alter database %2$I set %3$I from current'
          else 'alter role %1$I in database %2$I set %3$I from current' end,
        pg_get_userbyid(r.setrole), {new}, split_part(c.s, '=', 1)) end
    from pg_database d join pg_db_role_setting r on r.setdatabase = d.oid,
      unnest(r.setconfig) with ordinality c(s, n), generate_series(0, 1) e(n) where d.datname = {old}
  union all select 4, 0, format('alter database %I connection limit %s', {new}, datconnlimit)
    from pg_database where datname = {old} and datconnlimit >= 0
) x order by part, n"
    )
}

/// Notes something at a database, after what is noted at another, if there is one, whose rights and settings it is given.
/// `note` holds no quote.
pub async fn liken(ctx: &Ctx<'_>, new: i64, old: Option<i64>, note: &str) -> Answer<()> {
    let (name, old) = (name_of(new), old.map_or_else(|| "null::name".to_owned(), name_of));
    let sql = format!(
        "do $drplan$ declare made record; begin
for made in {} loop execute made.s; end loop;
perform set_config('search_path', 'pg_catalog', true);
execute format('comment on database %I is %L', {name}, concat_ws(' ', (
  select nullif(regexp_replace(shobj_description(oid, 'pg_database'), ' ?restored by drplan .*$', ''), '')
    from pg_database where datname = {old}), '{note}'));
end $drplan$",
        likeness(&old, &name)
    );
    tell(ctx, &sql).await
}

/// Lets a database accept connections, or none. No synchronous standby is waited for: it may be what is gone.
pub async fn accept(ctx: &Ctx<'_>, oid: i64, accepts: bool) -> Answer<()> {
    let sql = format!(
        "do $drplan$ begin
set local synchronous_commit = local;
execute format('alter database %I with allow_connections {accepts}', {});
end $drplan$",
        name_of(oid)
    );
    tell(ctx, &sql).await
}

/// The same, by the database's name.
pub async fn accept_named(ctx: &Ctx<'_>, name: &str, accepts: bool) -> Answer<()> {
    let found = named(ctx, name).await?;
    let gone = || Fault::refused(format!("there is no database {} any more", words::code(name)));
    accept(ctx, found.ok_or_else(gone)?.oid, accepts).await
}

/// Ends the sessions of a database, and waits until there is none.
pub async fn empty(ctx: &Ctx<'_>, oid: i64) -> Answer<()> {
    let end = format!("select pg_terminate_backend(pid) from pg_stat_activity where datid = {oid}");
    tell(ctx, &end).await?;
    left(ctx, oid).await
}

/// Waits until a database has no session: what these did is counted only then.
pub async fn left(ctx: &Ctx<'_>, oid: i64) -> Answer<()> {
    let ask = "select (select count(*) from pg_stat_activity where datid = $1::oid and backend_type = 'client backend')::bigint as sessions, \
               (select count(*) from pg_prepared_xacts x join pg_database d on d.datname = x.database where d.oid = $1::oid)::bigint as prepared";
    let start = ctx.world.clock.elapsed();
    loop {
        let row = postgres::row(ctx, &maintenance(ctx)?, ask, &[json!(oid)]).await?;
        let count = |key: &str| row.get(key).and_then(Value::as_i64).unwrap_or(-1);
        match (count("sessions"), count("prepared")) {
            (0, 0) => return Ok(()),
            (_, prepared) if prepared > 0 => {
                let what = "prepared transactions hold the database; `select * from pg_prepared_xacts` shows them, `commit prepared` or `rollback prepared` ends one";
                return Err(Fault::refused(what));
            }
            (sessions, _) if ctx.world.clock.elapsed().saturating_sub(start) > FAREWELL => {
                return Err(Fault::refused(format!("{sessions} sessions of the database do not end")));
            }
            _ => ctx.world.clock.sleep(PAUSE).await,
        }
    }
}

/// Two databases that nobody uses take each other's name, both or neither.
pub async fn swap(ctx: &Ctx<'_>, one: i64, other: i64) -> Answer<()> {
    let sql = format!(
        "do $drplan$ declare a name; b name; begin
select datname into strict a from pg_database where oid = {one};
select datname into strict b from pg_database where oid = {other};
execute format('alter database %I rename to %I', a, 'drplan_swap_{one}_{other}');
execute format('alter database %I rename to %I', b, a);
execute format('alter database %I rename to %I', 'drplan_swap_{one}_{other}', b);
end $drplan$"
    );
    tell(ctx, &sql).await
}

/// Gives a database that nobody uses a name that none has.
pub async fn rename(ctx: &Ctx<'_>, from: &str, to: &str) -> Answer<()> {
    tell(ctx, &format!("alter database {} rename to {}", identifier(from)?, identifier(to)?)).await
}

/// Removes a database, whoever uses it.
pub async fn remove(ctx: &Ctx<'_>, name: &str) -> Answer<()> {
    tell(ctx, &format!("drop database if exists {} with (force)", identifier(name)?)).await
}

/// Rows that were written to a database, its server's own catalogs among them.
pub async fn written(ctx: &Ctx<'_>, oid: i64) -> Answer<Option<i64>> {
    let sql = "select (tup_inserted + tup_updated + tup_deleted)::bigint as written from pg_stat_database where datid = $1::oid";
    let rows = look(ctx, &maintenance(ctx)?, sql, &[json!(oid)]).await?;
    Ok(rows.first().and_then(|row| row.get("written")).and_then(Value::as_i64))
}
