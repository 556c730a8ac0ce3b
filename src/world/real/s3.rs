//! Object stores that speak S3. It does not know what the objects are.

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::ChecksumMode;
use jiff::Timestamp;

use super::aws::{Aws, fault};
use crate::world::{Answer, AwsSettings, Fault, Object, ObjectFacts, Objects};

/// The most objects that are listed.
const OBJECTS_MAX: usize = 1_000_000;

/// S3.
pub(super) struct Real {
    pub(super) aws: std::sync::Arc<Aws>,
}

#[async_trait]
impl Objects for Real {
    async fn list(&self, aws: &AwsSettings, bucket: &str, prefix: &str) -> Answer<Vec<Object>> {
        let client = self.client(aws).await?;
        let mut pages = client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| fault(&format!("S3 was asked for the objects of s3://{bucket}/{prefix}"), &e))?;
            for object in page.contents() {
                let key = object.key().unwrap_or_default().to_owned();
                let modified = timestamp(object.last_modified(), bucket, &key)?;
                let size = object.size().and_then(|s| u64::try_from(s).ok());
                let size = size.ok_or_else(|| Fault::refused(format!("S3 gave no size of s3://{bucket}/{key}")))?;
                let etag = object.e_tag().unwrap_or_default().trim_matches('"').to_owned();
                found.push(Object { key, modified, size, etag });
            }
            if found.len() > OBJECTS_MAX {
                return Err(Fault::refused(format!("more than {OBJECTS_MAX} objects under s3://{bucket}/{prefix}: give a longer prefix")));
            }
        }
        Ok(found)
    }

    async fn facts(&self, aws: &AwsSettings, bucket: &str, key: &str) -> Answer<Option<ObjectFacts>> {
        let client = self.client(aws).await?;
        let head = || client.head_object().bucket(bucket).key(key);
        let mut answer = head().checksum_mode(ChecksumMode::Enabled).send().await;
        // Checksums of an encrypted object need the right to use its key; the rest does not.
        if status(&answer) == Some(403) {
            answer = head().send().await;
        }
        // A HEAD has no body in which the service could say why.
        if status(&answer) == Some(404) {
            return Ok(None);
        }
        let head = answer.map_err(|e| fault(&format!("S3 was asked about s3://{bucket}/{key}"), &e))?;
        let retention = match (head.object_lock_mode(), head.object_lock_retain_until_date()) {
            (Some(mode), Some(until)) => Some((mode.as_str().to_owned(), timestamp(Some(until), bucket, key)?)),
            _ => None,
        };
        let encryption = head.server_side_encryption().map(|e| e.as_str().to_owned());
        Ok(Some(ObjectFacts { encryption, retention, checksum: checksum(&head) }))
    }
}

impl Real {
    async fn client(&self, aws: &AwsSettings) -> Answer<Client> {
        let config = self.aws.config(aws).await?;
        // A store of one's own seldom has a name for each bucket.
        let by_path = config.endpoint_url().is_some();
        Ok(Client::from_conf(Builder::from(&config).force_path_style(by_path).build()))
    }
}

fn status<T, E>(answer: &Result<T, aws_sdk_s3::error::SdkError<E>>) -> Option<u16> {
    Some(answer.as_ref().err()?.raw_response()?.status().as_u16())
}

fn timestamp(time: Option<&DateTime>, bucket: &str, key: &str) -> Answer<Timestamp> {
    time.and_then(|t| Timestamp::new(t.secs(), i32::try_from(t.subsec_nanos()).ok()?).ok())
        .ok_or_else(|| Fault::refused(format!("S3 gave no time for s3://{bucket}/{key} that can be read")))
}

/// The strongest that the store has, of those that it computed itself or checked.
fn checksum(head: &HeadObjectOutput) -> Option<String> {
    let known = [
        ("sha256", head.checksum_sha256()),
        ("sha1", head.checksum_sha1()),
        ("crc64nvme", head.checksum_crc64_nvme()),
        ("crc32c", head.checksum_crc32_c()),
        ("crc32", head.checksum_crc32()),
    ];
    known.into_iter().find_map(|(algorithm, value)| Some(format!("{algorithm}:{}", value?)))
}
