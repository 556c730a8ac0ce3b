//! Hosted zones of a provider, as the actions see them. It does not know how they are asked.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Answer, AwsSettings};

/// A record set, its values in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSet {
    /// Fully qualified, without the last dot.
    pub name: String,
    /// `A`, `CNAME`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Seconds.
    pub ttl_s: u64,
    /// Values.
    pub values: Vec<String>,
}

/// One of several record sets of one name and type: answers are dealt out among them by weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedSet {
    /// Which of them it is.
    pub id: String,
    /// Its share of all weights; 0: none, unless all are 0.
    pub weight: u64,
    /// Name, type, TTL and values; the last two are 0 and empty for an alias.
    pub set: RecordSet,
    /// Where it leads, if it is an alias.
    pub alias: Option<Alias>,
    /// The health check without which it is not answered.
    pub health_check: Option<String>,
}

/// Where an alias leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Hosted zone of the target.
    pub zone: String,
    /// Its name.
    pub name: String,
    /// Whether the target's own health counts.
    pub evaluate: bool,
}

/// A health check, as far as it is changed here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Grows with every change.
    pub version: u64,
    /// Good is taken for bad and bad for good.
    pub inverted: bool,
    /// It is not asked, and counts as good.
    pub disabled: bool,
}

/// A change of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsChange {
    /// Fails unless exactly this is there.
    Delete(RecordSet),
    /// Fails if something is there.
    Create(RecordSet),
    /// Fails unless exactly this is there.
    DeleteWeighted(WeightedSet),
    /// Fails if one of this name is there.
    CreateWeighted(WeightedSet),
}

/// Hosted DNS zones.
#[async_trait]
pub trait Dns: Send + Sync {
    /// The record set of a name and type; none if there is none. A set that this shape cannot hold (an alias, a
    /// routing policy) is a refusal that says so.
    async fn record(&self, aws: &AwsSettings, zone: &str, name: &str, kind: &str) -> Answer<Option<RecordSet>>;
    /// All changes or none; gives the id to ask for.
    async fn change(&self, aws: &AwsSettings, zone: &str, changes: &[DnsChange], comment: &str) -> Answer<String>;
    /// All weighted sets of a name and type, by their names. A set that is not weighted is a refusal.
    async fn weighted(&self, aws: &AwsSettings, zone: &str, name: &str, kind: &str) -> Answer<Vec<WeightedSet>>;
    /// A health check; none if there is none.
    async fn health_check(&self, aws: &AwsSettings, id: &str) -> Answer<Option<HealthCheck>>;
    /// Sets both words of a health check, if its version is still this one.
    async fn set_health_check(&self, aws: &AwsSettings, id: &str, check: &HealthCheck) -> Answer<()>;
    /// True once every server of the zone answers with the change.
    async fn in_sync(&self, aws: &AwsSettings, change: &str) -> Answer<bool>;
}
