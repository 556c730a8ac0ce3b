//! Services that this build does not hold: every call is refused and names the Cargo feature that brings it.

use async_trait::async_trait;
use serde_json::Value;

use crate::world::{
    Answer, AwsSettings, Dns, DnsChange, Fault, HealthCheck, Object, ObjectCopy, ObjectFacts, ObjectRef, Objects, PgTarget, Postgres,
    RecordSet, Rows, WeightedSet,
};

/// A service that the feature of this name would bring.
pub(super) struct Absent(pub(super) &'static str);

impl Absent {
    fn refused<T>(&self) -> Answer<T> {
        let feature = self.0;
        Err(Fault::refused(format!(
            "this drplan was built without the feature `{feature}`: build it with `cargo build --features {feature}`"
        )))
    }
}

#[async_trait]
impl Objects for Absent {
    async fn list(&self, _: &AwsSettings, _: &str, _: &str) -> Answer<Vec<Object>> {
        self.refused()
    }

    async fn facts(&self, _: &AwsSettings, _: &str, _: &str) -> Answer<Option<ObjectFacts>> {
        self.refused()
    }

    async fn sha256(&self, _: &AwsSettings, _: &ObjectRef) -> Answer<(u64, String)> {
        self.refused()
    }

    async fn copy(&self, _: &AwsSettings, _: &ObjectCopy) -> Answer<()> {
        self.refused()
    }

    async fn remove(&self, _: &AwsSettings, _: &ObjectRef) -> Answer<()> {
        self.refused()
    }

    async fn retain(&self, _: &AwsSettings, _: &ObjectRef, _: &str, _: jiff::Timestamp) -> Answer<()> {
        self.refused()
    }
}

#[async_trait]
impl Dns for Absent {
    async fn record(&self, _: &AwsSettings, _: &str, _: &str, _: &str) -> Answer<Option<RecordSet>> {
        self.refused()
    }

    async fn change(&self, _: &AwsSettings, _: &str, _: &[DnsChange], _: &str) -> Answer<String> {
        self.refused()
    }

    async fn in_sync(&self, _: &AwsSettings, _: &str) -> Answer<bool> {
        self.refused()
    }

    async fn weighted(&self, _: &AwsSettings, _: &str, _: &str, _: &str) -> Answer<Vec<WeightedSet>> {
        self.refused()
    }

    async fn health_check(&self, _: &AwsSettings, _: &str) -> Answer<Option<HealthCheck>> {
        self.refused()
    }

    async fn set_health_check(&self, _: &AwsSettings, _: &str, _: &HealthCheck) -> Answer<()> {
        self.refused()
    }
}

#[async_trait]
impl Postgres for Absent {
    async fn query(&self, _: &PgTarget, _: &str, _: &[Value], _: bool, _: u64) -> Answer<Rows> {
        self.refused()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_is_refused_and_names_what_would_bring_it() {
        let fault = Absent("postgres").query(&PgTarget::default(), "select 1", &[], true, 1).await.unwrap_err();
        assert_eq!(fault, Fault::refused(fault.cause.clone()));
        assert!(fault.cause.ends_with("`cargo build --features postgres`"), "{fault}");
    }
}
