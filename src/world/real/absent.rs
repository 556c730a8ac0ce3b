//! Services that this build does not hold: every call is refused and names the Cargo feature that brings it.

use async_trait::async_trait;
use serde_json::Value;

use crate::world::{Answer, AwsSettings, Dns, DnsChange, Fault, Object, ObjectFacts, Objects, PgTarget, Postgres, RecordSet, Rows};

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
