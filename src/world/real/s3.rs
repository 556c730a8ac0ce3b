//! Object stores that speak S3. It does not know what the objects are.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    ChecksumMode, CompletedMultipartUpload, CompletedPart, MetadataDirective, ObjectLockRetention, ObjectLockRetentionMode,
};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::aws::{Aws, Bounded, CONNECT, fault, limits};
use super::innermost;
use crate::world::{Answer, AwsSettings, Fault, Landed, Object, ObjectCopy, ObjectFacts, ObjectRef, Objects};

/// The most objects that are listed.
const OBJECTS_MAX: usize = 1_000_000;

/// Key of the metadata that says which step copied an object.
const MARK: &str = "drplan-step";

/// Longest time of a call that takes as long as its object is long, where the step has no limit.
const LONG: Duration = Duration::from_secs(6 * 3600);

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
        // Whoever answers without one is no object store.
        let etag = head.e_tag().ok_or_else(|| Fault::refused(format!("what answers for s3://{bucket}/{key} gave no ETag")))?;
        Ok(Some(ObjectFacts {
            encryption,
            retention,
            checksum: checksum(&head),
            size: head.content_length().and_then(|s| u64::try_from(s).ok()).unwrap_or_default(),
            etag: etag.trim_matches('"').to_owned(),
            version: head.version_id().filter(|v| *v != "null").map(str::to_owned),
            mark: head.metadata().and_then(|m| m.get(MARK)).cloned(),
        }))
    }

    async fn sha256(&self, aws: &AwsSettings, object: &ObjectRef) -> Answer<(u64, String)> {
        let what = format!("S3 was asked for s3://{}/{}", object.bucket, object.key);
        let client = self.long_client(aws).await?;
        let asked = client.get_object().bucket(&object.bucket).key(&object.key).set_version_id(object.version.clone());
        let read = async {
            let answer = asked.if_match(&object.etag).send().await.map_err(|e| fault(&what, &e))?;
            let (mut body, mut digest, mut size) = (answer.body, Sha256::new(), 0);
            while let Some(chunk) = body.next().await {
                let chunk = chunk.map_err(|e| Fault::lost(format!("{what}: the answer broke off: {}", innermost(&e))))?;
                size += chunk.len() as u64;
                digest.update(&chunk);
            }
            Ok((size, digest.finalize().iter().map(|b| format!("{b:02x}")).collect()))
        };
        let limit = aws.timeout_ms.map_or(LONG, Duration::from_millis);
        tokio::time::timeout(limit, read).await.unwrap_or_else(|_| Err(Fault::lost(format!("{what}: it was not read to its end in time"))))
    }

    async fn copy(&self, aws: &AwsSettings, copy: &ObjectCopy) -> Answer<()> {
        let client = self.long_client(aws).await?;
        let from = &copy.from;
        let head = client.head_object().bucket(&from.bucket).key(&from.key).set_version_id(from.version.clone()).if_match(&from.etag);
        let head = head.send().await.map_err(|e| fault(&format!("S3 was asked about s3://{}/{}", from.bucket, from.key), &e))?;
        let mut metadata = head.metadata().cloned().unwrap_or_default();
        metadata.insert(MARK.to_owned(), copy.mark.clone());
        if copy.size > copy.part_bytes {
            in_parts(&client, copy, &head, metadata).await
        } else {
            at_once(&client, copy, &head, metadata).await
        }
    }

    async fn remove(&self, aws: &AwsSettings, object: &ObjectRef) -> Answer<()> {
        let client = self.client(aws).await?;
        let mut asked = client.delete_object().bucket(&object.bucket).key(&object.key).set_version_id(object.version.clone());
        if object.version.is_none() {
            asked = asked.if_match(&object.etag);
        }
        let done = asked.customize().config_override(once()).send().await;
        done.map(drop).map_err(|e| fault(&format!("S3 was asked to remove s3://{}/{}", object.bucket, object.key), &e))
    }

    async fn retain(&self, aws: &AwsSettings, object: &ObjectRef, mode: &str, until: Timestamp) -> Answer<()> {
        let client = self.client(aws).await?;
        let until = DateTime::from_secs(until.as_second());
        let lock = ObjectLockRetention::builder().mode(ObjectLockRetentionMode::from(mode)).retain_until_date(until).build();
        let asked = client.put_object_retention().bucket(&object.bucket).key(&object.key).set_version_id(object.version.clone());
        let done = asked.retention(lock).customize().config_override(once()).send().await;
        done.map(drop).map_err(|e| fault(&format!("S3 was asked to lock s3://{}/{}", object.bucket, object.key), &e))
    }
}

/// A change is sent once: what becomes of a reply that is lost, the caller must find out.
fn once() -> Builder {
    Builder::new().retry_config(RetryConfig::disabled())
}

/// Says that a request has no body: some stores want to be told.
fn empty(request: &mut HttpRequest) {
    request.headers_mut().insert("content-length", "0");
}

/// The source as a header takes it: percent-encoded, with its version.
fn source(from: &ObjectRef) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    let encoded =
        |text: &str| text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect::<String>();
    let version = from.version.as_ref().map(|v| format!("?versionId={}", encoded(v))).unwrap_or_default();
    format!("{}/{}{version}", encoded(&from.bucket), encoded(&from.key))
}

fn asked(copy: &ObjectCopy) -> String {
    format!("S3 was asked to copy s3://{}/{} to s3://{}/{}", copy.from.bucket, copy.from.key, copy.bucket, copy.key)
}

async fn at_once(client: &Client, copy: &ObjectCopy, head: &HeadObjectOutput, metadata: HashMap<String, String>) -> Answer<()> {
    let sent = client
        .copy_object()
        .bucket(&copy.bucket)
        .key(&copy.key)
        .copy_source(source(&copy.from))
        .copy_source_if_match(&copy.from.etag)
        .set_if_match(copy.replaces.clone())
        .set_if_none_match(copy.replaces.is_none().then(|| "*".to_owned()))
        .metadata_directive(MetadataDirective::Replace)
        .set_metadata(Some(metadata))
        .set_content_type(head.content_type().map(str::to_owned))
        .set_content_encoding(head.content_encoding().map(str::to_owned))
        .set_content_disposition(head.content_disposition().map(str::to_owned))
        .set_content_language(head.content_language().map(str::to_owned))
        .set_cache_control(head.cache_control().map(str::to_owned))
        .customize()
        .mutate_request(empty)
        .config_override(once())
        .send()
        .await;
    sent.map(drop).map_err(|e| fault(&asked(copy), &e))
}

/// Nothing of it is to be seen before the last call.
async fn in_parts(client: &Client, copy: &ObjectCopy, head: &HeadObjectOutput, metadata: HashMap<String, String>) -> Answer<()> {
    let what = asked(copy);
    let begun = client
        .create_multipart_upload()
        .bucket(&copy.bucket)
        .key(&copy.key)
        .set_metadata(Some(metadata))
        .set_content_type(head.content_type().map(str::to_owned))
        .set_content_encoding(head.content_encoding().map(str::to_owned))
        .set_content_disposition(head.content_disposition().map(str::to_owned))
        .set_content_language(head.content_language().map(str::to_owned))
        .set_cache_control(head.cache_control().map(str::to_owned))
        .send()
        .await
        .map_err(|e| Fault { landed: Landed::No, ..fault(&what, &e) })?;
    let upload = begun.upload_id().ok_or_else(|| Fault::refused(format!("{what}: it gave no upload to go on with")))?;
    let parts = match parts(client, copy, upload).await {
        Ok(parts) => CompletedMultipartUpload::builder().set_parts(Some(parts)).build(),
        Err(cause) => {
            // What is left of it costs money until somebody ends it; nobody sees it.
            let gone = client.abort_multipart_upload().bucket(&copy.bucket).key(&copy.key).upload_id(upload).send().await;
            let left = if gone.is_err() { format!("; parts of upload {upload} are left in the bucket") } else { String::new() };
            return Err(Fault::refused(format!("{what}: {cause}{left}")));
        }
    };
    let ended = client
        .complete_multipart_upload()
        .bucket(&copy.bucket)
        .key(&copy.key)
        .upload_id(upload)
        .multipart_upload(parts)
        .set_if_match(copy.replaces.clone())
        .set_if_none_match(copy.replaces.is_none().then(|| "*".to_owned()))
        .customize()
        .config_override(once())
        .send()
        .await;
    ended.map(drop).map_err(|e| fault(&what, &e))
}

async fn parts(client: &Client, copy: &ObjectCopy, upload: &str) -> Result<Vec<CompletedPart>, String> {
    let mut out = Vec::new();
    let (mut from, mut number) = (0, 1);
    while from < copy.size {
        let to = copy.size.min(from + copy.part_bytes);
        let sent = client
            .upload_part_copy()
            .bucket(&copy.bucket)
            .key(&copy.key)
            .upload_id(upload)
            .part_number(number)
            .copy_source(source(&copy.from))
            .copy_source_if_match(&copy.from.etag)
            .copy_source_range(format!("bytes={from}-{}", to - 1))
            .customize()
            .mutate_request(empty)
            .send()
            .await
            .map_err(|e| fault(&format!("part {number}"), &e).cause)?;
        let etag = sent.copy_part_result().and_then(|r| r.e_tag()).ok_or_else(|| format!("part {number} has no ETag"))?;
        out.push(CompletedPart::builder().part_number(number).e_tag(etag).build());
        (from, number) = (to, number + 1);
    }
    Ok(out)
}

impl Real {
    /// For calls that take as long as an object is long.
    async fn long_client(&self, aws: &AwsSettings) -> Answer<Client> {
        let config = self.aws.config(aws).await?;
        let by_path = config.endpoint_url().is_some();
        let limit = aws.timeout_ms.map_or(LONG, Duration::from_millis);
        let limits = TimeoutConfig::builder().connect_timeout(limit.min(CONNECT)).operation_timeout(limit).build();
        Ok(Client::from_conf(Builder::from(&config).force_path_style(by_path).timeout_config(limits).build()))
    }

    async fn client(&self, aws: &AwsSettings) -> Answer<Client> {
        let config = self.aws.config(aws).await?;
        // A store of one's own seldom has a name for each bucket.
        let by_path = config.endpoint_url().is_some();
        Ok(Client::from_conf(Builder::from(&config).force_path_style(by_path).timeout_config(limits(aws)).interceptor(Bounded).build()))
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
