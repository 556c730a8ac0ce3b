//! Whether a target answers from here, by its kind: the least that can be asked of it. It changes nothing, and it does
//! not know which step wants the target.

use serde_json::Value;

use super::{AssetKind, Ctx, aws, clickhouse, dns, given, kubernetes, postgres, redis, route53, sqlite, template};
use crate::world::{Answer, Fault, Request, World};

/// Longest time of one look.
pub const LOOK_MS: u64 = 10_000;

/// A target that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// What answered, in words.
    pub said: String,
    /// Its clock, where it tells the time.
    pub clock: Option<jiff::Timestamp>,
}

/// Asks the target of a step; none where this version does not know how.
pub async fn reach(ctx: &Ctx<'_>) -> Answer<Option<Reached>> {
    let target = ctx.asset()?;
    let said = |said: String| Ok(Some(Reached { said, clock: None }));
    match target.kind {
        AssetKind::Postgres => {
            let to = postgres::maintenance(ctx)?;
            let sql = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') as now, \
                       case when pg_is_in_recovery() then 'a standby' else 'a primary' end as role, \
                       current_setting('server_version') as version";
            let row = postgres::row(ctx, &to, sql, &[]).await?;
            let word = |key: &str| row.get(key).map(template::plain).unwrap_or_default();
            let said = format!("{} answers: PostgreSQL {}, {}", postgres::place(&to), word("version"), word("role"));
            Ok(Some(Reached { said, clock: word("now").parse().ok() }))
        }
        AssetKind::Route53 => {
            let place = route53::place(ctx)?;
            let found = route53::read(ctx).await?;
            let what = found.map_or_else(|| "there is no such record".to_owned(), |set| set.values.join(", "));
            said(format!("zone {} answers: {} {}: {what}", place.zone, place.kind, place.name))
        }
        AssetKind::S3 => {
            let bucket = given::need(&target.connect, "bucket")?;
            // No such key is an answer too: only whether the bucket lets us look is asked.
            ctx.world.objects.facts(&aws::settings(ctx), &bucket, "drplan-doctor").await?;
            said(format!("bucket {bucket} answers"))
        }
        AssetKind::Sqlite => {
            let path = sqlite::path(ctx)?;
            if ctx.world.files.facts(&path).await?.is_none() {
                return Err(Fault::refused(format!("there is no file {path}")));
            }
            ctx.world.sqlite.looks_like_one(&path).await?;
            said(format!("{path} is a database and can be read"))
        }
        AssetKind::Clickhouse => match given::text(&target.connect, "url") {
            Some(_) => {
                let rows = clickhouse::look(ctx, "select version() as version", &[]).await?;
                let version = rows.first().and_then(|row| row.get("version")).map(template::plain).unwrap_or_default();
                said(format!("ClickHouse {version} answers"))
            }
            None => Ok(None),
        },
        AssetKind::Redis => {
            let (to, s) = (redis::target(ctx)?, redis::standing(ctx).await?);
            said(format!("{} answers: Redis, a {} with {} keys", redis::place(&to), s.role(), s.keys))
        }
        AssetKind::Kubernetes => {
            let version = kubernetes::look_json(ctx, &["version", "--output=json"], None).await?;
            let version = version.pointer("/serverVersion/gitVersion").map(template::plain).unwrap_or_default();
            said(format!("the cluster answers: Kubernetes {version}"))
        }
        AssetKind::Dns if target.connect.contains_key("server") && target.connect.contains_key("record") => {
            let server = dns::server(ctx)?;
            let found = dns::ask(ctx, &server).await?;
            let what = if found.values.is_empty() { "there is no such record".to_owned() } else { found.values.join(", ") };
            said(format!("{} answers: {what}", server.at))
        }
        AssetKind::Http => match given::text(&target.connect, "url") {
            Some(url) => Ok(Some(page(ctx, &url).await?)),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

/// Asks for a page: whatever its status, somebody answered.
pub async fn page(ctx: &Ctx<'_>, url: &str) -> Answer<Reached> {
    let request = Request { method: "GET".to_owned(), url: url.to_owned(), timeout_ms: ctx.exchange_ms(LOOK_MS), ..Request::default() };
    let answer = ctx.world.http.send(&request).await?;
    let date = answer.headers.iter().find(|(name, _)| name == "date").map(|(_, value)| value);
    let clock = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()).map(|zoned| zoned.timestamp());
    Ok(Reached { said: format!("it answers, with status {}", answer.status), clock })
}

/// The address that a step asks, if it asks one; and whether asking for its page does nothing: where things are posted, a
/// request may be taken for one of them, so that only its host is asked.
pub fn url<'a>(uses: &str, with: &'a serde_json::Map<String, Value>) -> Option<(&'a str, bool)> {
    Some((with.get("url")?.as_str()?, !matches!(uses, "http.call" | "notify.webhook")))
}

/// Asks the host of an address whether it is there, and nothing else.
pub async fn host(world: &World, url: &str) -> Answer<Reached> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| Fault::refused("this is no address"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let request = Request { method: "HEAD".to_owned(), url: format!("{scheme}://{host}/"), timeout_ms: LOOK_MS, ..Request::default() };
    world.http.send(&request).await?;
    Ok(Reached { said: "its host answers; nothing was sent".to_owned(), clock: None })
}
