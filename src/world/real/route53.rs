//! Hosted zones of Route 53. It does not know why a record changes. A change is sent once: what becomes of a reply that
//! is lost, the caller must find out.

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_sdk_route53::Client;
use aws_sdk_route53::config::Builder;
use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{AliasTarget, Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecord, ResourceRecordSet, RrType};

use super::aws::{Aws, Bounded, fault, limits};
use crate::world::{Alias, Answer, AwsSettings, Dns, DnsChange, Fault, HealthCheck, RecordSet, WeightedSet};

/// The longest comment that a change may have.
const COMMENT_MAX: usize = 256;

/// Route 53.
pub(super) struct Real {
    pub(super) aws: std::sync::Arc<Aws>,
}

#[async_trait]
impl Dns for Real {
    async fn record(&self, aws: &AwsSettings, zone: &str, name: &str, kind: &str) -> Answer<Option<RecordSet>> {
        let client = self.client(aws).await?;
        // The list begins at the set that is asked for, or where it would stand.
        let page = client
            .list_resource_record_sets()
            .hosted_zone_id(zone)
            .start_record_name(name)
            .start_record_type(RrType::from(kind))
            .send()
            .await
            .map_err(|e| fault(&format!("Route 53 was asked for {kind} {name} in zone {zone}"), &e))?;
        let wanted = |set: &&ResourceRecordSet| plain(set.name()) == plain(name) && set.r#type().as_str() == kind;
        page.resource_record_sets().iter().find(wanted).map(record_set).transpose()
    }

    async fn change(&self, aws: &AwsSettings, zone: &str, changes: &[DnsChange], comment: &str) -> Answer<String> {
        let client = self.client(aws).await?;
        let batch = batch(changes, comment).map_err(|e| Fault::refused(format!("the change of zone {zone} is not whole: {e}")))?;
        let sent = client
            .change_resource_record_sets()
            .hosted_zone_id(zone)
            .change_batch(batch)
            .customize()
            .config_override(Builder::new().retry_config(RetryConfig::disabled()))
            .send()
            .await;
        match sent {
            Ok(answer) => match answer.change_info() {
                Some(info) => Ok(info.id().trim_start_matches("/change/").to_owned()),
                None => Err(Fault::lost(format!("Route 53 took the change of zone {zone}, but gave no id to ask for"))),
            },
            Err(e) => Err(fault(&format!("Route 53 was asked to change zone {zone}"), &e)),
        }
    }

    async fn in_sync(&self, aws: &AwsSettings, change: &str) -> Answer<bool> {
        let client = self.client(aws).await?;
        let answer =
            client.get_change().id(change).send().await.map_err(|e| fault(&format!("Route 53 was asked for change {change}"), &e))?;
        Ok(answer.change_info().is_some_and(|info| *info.status() == ChangeStatus::Insync))
    }

    async fn weighted(&self, aws: &AwsSettings, zone: &str, name: &str, kind: &str) -> Answer<Vec<WeightedSet>> {
        let client = self.client(aws).await?;
        let mut found = Vec::new();
        let mut begin: Option<String> = None;
        loop {
            let page = client
                .list_resource_record_sets()
                .hosted_zone_id(zone)
                .start_record_name(name)
                .start_record_type(RrType::from(kind))
                .set_start_record_identifier(begin)
                .send()
                .await
                .map_err(|e| fault(&format!("Route 53 was asked for {kind} {name} in zone {zone}"), &e))?;
            let ours = |n: Option<&str>, k: Option<&RrType>| n.map(plain) == Some(plain(name)) && k.map(RrType::as_str) == Some(kind);
            for set in page.resource_record_sets().iter().filter(|set| ours(Some(set.name()), Some(set.r#type()))) {
                found.push(weighted_set(set)?);
            }
            let goes_on = page.is_truncated() && ours(page.next_record_name(), page.next_record_type());
            begin = page.next_record_identifier().map(str::to_owned).filter(|_| goes_on);
            if begin.is_none() {
                found.sort_by(|a, b| a.id.cmp(&b.id));
                return Ok(found);
            }
        }
    }

    async fn health_check(&self, aws: &AwsSettings, id: &str) -> Answer<Option<HealthCheck>> {
        let client = self.client(aws).await?;
        let answer = client.get_health_check().health_check_id(id).send().await;
        if answer.as_ref().is_err_and(|e| e.raw_response().is_some_and(|r| r.status().as_u16() == 404)) {
            return Ok(None);
        }
        let answer = answer.map_err(|e| fault(&format!("Route 53 was asked for health check {id}"), &e))?;
        let check = answer.health_check().ok_or_else(|| Fault::refused(format!("Route 53 gave an empty answer for health check {id}")))?;
        let version = u64::try_from(check.health_check_version()).map_err(|_| Fault::refused("a health check without a version"))?;
        let config = check.health_check_config();
        let word = |word: Option<bool>| word.unwrap_or(false);
        Ok(Some(HealthCheck {
            version,
            inverted: word(config.and_then(|c| c.inverted())),
            disabled: word(config.and_then(|c| c.disabled())),
        }))
    }

    async fn set_health_check(&self, aws: &AwsSettings, id: &str, check: &HealthCheck) -> Answer<()> {
        let client = self.client(aws).await?;
        let version = i64::try_from(check.version).map_err(|_| Fault::refused("a health check of an impossible version"))?;
        let sent = client
            .update_health_check()
            .health_check_id(id)
            .health_check_version(version)
            .inverted(check.inverted)
            .disabled(check.disabled)
            .customize()
            .config_override(Builder::new().retry_config(RetryConfig::disabled()))
            .send()
            .await;
        sent.map(drop).map_err(|e| fault(&format!("Route 53 was asked to change health check {id}"), &e))
    }
}

impl Real {
    async fn client(&self, aws: &AwsSettings) -> Answer<Client> {
        let config = self.aws.config(aws).await?;
        Ok(Client::from_conf(Builder::from(&config).timeout_config(limits(aws)).interceptor(Bounded).build()))
    }
}

fn batch(changes: &[DnsChange], comment: &str) -> Result<ChangeBatch, BuildError> {
    let mut batch = ChangeBatch::builder().comment(comment.chars().take(COMMENT_MAX).collect::<String>());
    for change in changes {
        let (action, sent) = match change {
            DnsChange::Delete(set) => (ChangeAction::Delete, written(set, None)?),
            DnsChange::Create(set) => (ChangeAction::Create, written(set, None)?),
            DnsChange::DeleteWeighted(one) => (ChangeAction::Delete, written(&one.set, Some(one))?),
            DnsChange::CreateWeighted(one) => (ChangeAction::Create, written(&one.set, Some(one))?),
        };
        batch = batch.changes(Change::builder().action(action).resource_record_set(sent).build()?);
    }
    batch.build()
}

/// A set as the service takes it, with what makes it a weighted one.
fn written(set: &RecordSet, weighted: Option<&WeightedSet>) -> Result<ResourceRecordSet, BuildError> {
    let mut sent = ResourceRecordSet::builder().name(&set.name).r#type(RrType::from(set.kind.as_str()));
    match weighted.and_then(|w| w.alias.as_ref()) {
        Some(alias) => {
            let target = AliasTarget::builder().hosted_zone_id(&alias.zone).dns_name(&alias.name).evaluate_target_health(alias.evaluate);
            sent = sent.alias_target(target.build()?);
        }
        // A longer one is refused by the service, in its words.
        None => sent = sent.ttl(i64::try_from(set.ttl_s).unwrap_or(i64::MAX)),
    }
    for value in &set.values {
        sent = sent.resource_records(ResourceRecord::builder().value(value).build()?);
    }
    if let Some(one) = weighted {
        let weight = i64::try_from(one.weight).unwrap_or(i64::MAX);
        sent = sent.set_identifier(&one.id).weight(weight).set_health_check_id(one.health_check.clone());
    }
    sent.build()
}

/// A weighted set, whole: what this shape cannot hold would be lost when it is put back.
fn weighted_set(set: &ResourceRecordSet) -> Answer<WeightedSet> {
    let (name, kind) = (plain(set.name()), set.r#type().as_str().to_owned());
    let odd = |why: &str| Fault::refused(format!("{kind} {name} {why}: only weighted record sets can be shifted"));
    let (Some(id), Some(weight)) = (set.set_identifier(), set.weight().and_then(|w| u64::try_from(w).ok())) else {
        return Err(odd("is not dealt out by weight"));
    };
    if set.traffic_policy_instance_id().is_some() {
        return Err(odd("was made by a traffic policy"));
    }
    let alias = set.alias_target().map(|a| Alias {
        zone: a.hosted_zone_id().to_owned(),
        name: a.dns_name().to_owned(),
        evaluate: a.evaluate_target_health(),
    });
    let ttl_s = set.ttl().and_then(|ttl| u64::try_from(ttl).ok());
    if alias.is_none() && ttl_s.is_none() {
        return Err(odd("has no TTL"));
    }
    let values = set.resource_records().iter().map(|r| r.value().to_owned()).collect();
    let set_of = RecordSet { name: name.clone(), kind: kind.clone(), ttl_s: ttl_s.unwrap_or(0), values };
    Ok(WeightedSet { id: id.to_owned(), weight, set: set_of, alias, health_check: set.health_check_id().map(str::to_owned) })
}

/// A set that is more than name, type, TTL and values would lose the rest when it is put back: it is refused.
fn record_set(set: &ResourceRecordSet) -> Answer<RecordSet> {
    let (name, kind) = (plain(set.name()), set.r#type().as_str().to_owned());
    let more = if set.alias_target().is_some() {
        Some("is an alias")
    } else if set.set_identifier().is_some() {
        Some("has a routing policy")
    } else if set.traffic_policy_instance_id().is_some() {
        Some("was made by a traffic policy")
    } else if set.health_check_id().is_some() {
        Some("has a health check")
    } else {
        None
    };
    match (more, set.ttl().and_then(|ttl| u64::try_from(ttl).ok())) {
        (Some(more), _) => Err(Fault::refused(format!("{kind} {name} {more}: only plain record sets can be read, changed and put back"))),
        (None, None) => Err(Fault::refused(format!("{kind} {name} has no TTL: only plain record sets can be read, changed and put back"))),
        (None, Some(ttl_s)) => {
            Ok(RecordSet { name, kind, ttl_s, values: set.resource_records().iter().map(|r| r.value().to_owned()).collect() })
        }
    }
}

/// A name in lower case, without the last dot, `\052` and the like as the characters that they stand for.
fn plain(name: &str) -> String {
    let name = name.trim_end_matches('.');
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| byte == b'\\').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(code) => {
                bytes.push(code);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_people_write_them() {
        assert_eq!(plain("\\052.Example.COM."), "*.example.com");
        assert_eq!(plain("_a\\100b.example.com"), "_a@b.example.com");
        assert_eq!(plain("tail\\05"), "tail\\05");
    }

    #[test]
    fn a_set_that_would_not_survive_its_undo_is_refused() {
        let plain = || ResourceRecordSet::builder().name("a.example.com.").r#type(RrType::Cname);
        let value = ResourceRecord::builder().value("b").build().unwrap();
        let whole = plain().ttl(60).resource_records(value.clone()).build().unwrap();
        let wanted = RecordSet { name: "a.example.com".to_owned(), kind: "CNAME".to_owned(), ttl_s: 60, values: vec!["b".to_owned()] };
        assert_eq!(record_set(&whole).unwrap(), wanted);
        let alias = AliasTarget::builder().hosted_zone_id("Z").dns_name("d").evaluate_target_health(false).build().unwrap();
        for (set, why) in [
            (plain().alias_target(alias), "is an alias"),
            (plain().ttl(60).set_identifier("east").weight(1), "has a routing policy"),
            (plain().ttl(60).health_check_id("h"), "has a health check"),
            (plain(), "has no TTL"),
        ] {
            let fault = record_set(&set.build().unwrap()).unwrap_err();
            assert!(fault.cause.starts_with(&format!("CNAME a.example.com {why}")), "{fault}");
        }
    }
}
