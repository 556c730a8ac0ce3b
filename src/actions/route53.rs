//! What the actions on Route 53 share: the record that an asset names, and how the `aws` command line reads it.

use std::time::Duration;

use serde_json::Value;

use super::{Call, Ctx, aws, given, shell, template, words};
use crate::world::{Answer, DnsChange, Fault, RecordSet};

/// Pause between two looks whether a change is in sync.
const PAUSE: Duration = Duration::from_secs(2);

/// So many looks in a row may fail before that is said.
const MISSES: u32 = 10;

/// Zone, name and type of the step's record.
pub struct Place {
    /// Id of the hosted zone.
    pub zone: String,
    /// Name, without the last dot.
    pub name: String,
    /// `CNAME`, …
    pub kind: String,
}

/// The record of the step's asset.
pub fn place(ctx: &Ctx<'_>) -> Answer<Place> {
    let connect = &ctx.asset()?.connect;
    let name = given::need(connect, "record")?.trim_end_matches('.').to_owned();
    Ok(Place { zone: given::need(connect, "zone")?, name, kind: given::text(connect, "type").unwrap_or_else(|| "CNAME".to_owned()) })
}

/// The record as it is.
pub async fn read(ctx: &Ctx<'_>) -> Answer<Option<RecordSet>> {
    let place = place(ctx)?;
    ctx.world.dns.record(&aws::settings(ctx), &place.zone, &place.name, &place.kind).await
}

/// Seconds that resolvers may keep the record.
pub fn ttl_s(ctx: &Ctx<'_>) -> Answer<u64> {
    let ms = given::duration_ms(&ctx.asset()?.connect, "ttl")?.unwrap_or(60_000);
    if ms % 1000 != 0 { Err(Fault::refused("`ttl` must be whole seconds")) } else { Ok(ms / 1000) }
}

/// Sends a batch; gives the id to ask for.
pub async fn send(ctx: &Ctx<'_>, changes: &[DnsChange]) -> Answer<String> {
    let zone = place(ctx)?.zone;
    ctx.world.dns.change(&aws::settings(ctx), &zone, changes, &format!("drplan {}", ctx.key)).await
}

/// Waits until every server of the zone answers with the change. The attempt's own limit ends it.
pub async fn in_sync(ctx: &Ctx<'_>, change: &str) -> Answer<()> {
    let mut misses = 0;
    loop {
        match ctx.world.dns.in_sync(&aws::settings(ctx), change).await {
            Ok(true) => return Ok(()),
            Ok(false) => misses = 0,
            Err(fault) if misses + 1 >= MISSES => {
                return Err(Fault::lost(format!("change {change} was taken, but whether it is in sync cannot be told: {fault}")));
            }
            Err(_) => misses += 1,
        }
        ctx.world.clock.sleep(PAUSE).await;
    }
}

/// Type and name for words: `` CNAME `shop.example.com` ``.
pub fn record_words(call: &Call<'_>) -> String {
    format!("{} {}", template::plain(&kind(call)), words::value(&call.shown("record")))
}

/// The type.
pub fn kind(call: &Call<'_>) -> Value {
    call.field("type").cloned().unwrap_or(Value::String("CNAME".to_owned()))
}

/// Names the record and defines `record PART FORM`, which reads it, a part of it, or `null`.
pub fn read_function(call: &Call<'_>) -> String {
    // As Route 53 writes names itself, so that they can be compared.
    let name = format!("{}.", template::plain(&call.shown("record")).trim_end_matches('.')).replace('*', "\\052");
    format!(
        "RECORD={} TYPE={}\n\
         record() {{ {} --hosted-zone-id {} \\\n  \
         --start-record-name \"$RECORD\" --start-record-type \"$TYPE\" --max-items 1 \\\n  \
         --query \"ResourceRecordSets[?Name=='$RECORD' && Type=='$TYPE'] | [0]$1\" --output \"$2\"; }}",
        shell::word(&Value::String(name)),
        shell::word(&kind(call)),
        aws::command(call, "route53 list-resource-record-sets"),
        shell::word(&call.shown("zone")),
    )
}

/// The record's values as [`read_function`] reads them.
pub const READ_VALUES: &str = "record '.ResourceRecords[].Value' text";
