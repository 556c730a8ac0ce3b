//! What the services of AWS have in common: settings, credentials by the usual chain, and what a failure means. It does
//! not know any service.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig, imds};
use aws_sdk_route53::config::ProvideCredentials;
use aws_sdk_route53::config::http::HttpResponse;
use aws_sdk_route53::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_route53::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_route53::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use http_body_util::Limited;
use tokio::sync::Mutex;

use super::innermost;
use crate::world::{Answer, AwsSettings, Fault};

/// How often a read is tried; a change is sent once.
const ATTEMPTS: u32 = 3;
pub(super) const CONNECT: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(20);
/// Longer than all attempts of a read with the pauses between them.
const WHOLE: Duration = Duration::from_secs(70);
/// A machine that is none of AWS's has nobody at the address that is asked last.
const METADATA: Duration = Duration::from_secs(1);

/// The longest answer that is read whole; the longest that a service gives, a page of a listing, has a tenth of it.
const ANSWER_BYTES: usize = 16 << 20;

/// The limits of the calls of a client. A step that has less time than is usual does not wait longer.
pub(super) fn limits(aws: &AwsSettings) -> TimeoutConfig {
    let most = |usual: Duration| aws.timeout_ms.map_or(usual, |ms| usual.min(Duration::from_millis(ms)));
    TimeoutConfig::builder().connect_timeout(most(CONNECT)).operation_attempt_timeout(most(ATTEMPT)).operation_timeout(most(WHOLE)).build()
}

/// Ends an answer that does not end.
#[derive(Debug)]
pub(super) struct Bounded;

impl Intercept for Bounded {
    fn name(&self) -> &'static str {
        "bounded answers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        *body = SdkBody::from_body_1_x(Limited::new(std::mem::replace(body, SdkBody::taken()), ANSWER_BYTES));
        Ok(())
    }
}

/// Clients are made of this.
#[derive(Default)]
pub(super) struct Aws {
    /// Another address than AWS's own, where the plan names none.
    pub(super) endpoint: Option<String>,
    /// By endpoint, region and profile; credentials are kept, and renewed, with each.
    loaded: Mutex<BTreeMap<[Option<String>; 3], SdkConfig>>,
}

impl Aws {
    pub(super) fn new(endpoint: Option<String>) -> Self {
        Aws { endpoint, loaded: Mutex::default() }
    }

    /// What a client needs. Without credentials it is a refusal that says where they were looked for.
    pub(super) async fn config(&self, aws: &AwsSettings) -> Answer<SdkConfig> {
        let endpoint = aws.endpoint.clone().or_else(|| self.endpoint.clone());
        let key = [endpoint.clone(), aws.region.clone(), aws.profile.clone()];
        let mut loaded = self.loaded.lock().await;
        if let Some(config) = loaded.get(&key) {
            return Ok(config.clone());
        }
        let config = load(endpoint, aws).await;
        let provider = config.credentials_provider().ok_or_else(|| Fault::refused("AWS was set up without credentials"))?;
        provider.provide_credentials().await.map_err(|e| no_credentials(aws, &e))?;
        loaded.insert(key, config.clone());
        Ok(config)
    }
}

/// Reads are tried again, a few times and not long. Checksums are asked for only where S3 insists: not every object
/// store that speaks its language knows them.
async fn load(endpoint: Option<String>, aws: &AwsSettings) -> SdkConfig {
    let mut of_profile = ProfileFileRegionProvider::builder();
    let metadata = imds::Client::builder().connect_timeout(METADATA).read_timeout(METADATA).max_attempts(1).build();
    let mut credentials = DefaultCredentialsChain::builder().imds_client(metadata);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(limits(&AwsSettings::default()))
        .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(aws_sdk_s3::config::ResponseChecksumValidation::WhenRequired);
    if let Some(profile) = &aws.profile {
        of_profile = of_profile.profile_name(profile);
        credentials = credentials.profile_name(profile);
        loader = loader.profile_name(profile);
    }
    // Route 53 is the same from every region, and so is an endpoint of one's own; the machine's metadata, which would be
    // asked next, would only make a laptop wait.
    let region = RegionProviderChain::first_try(aws.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(of_profile.build())
        .or_else(Region::from_static("us-east-1"))
        .region()
        .await;
    credentials.set_region(region.clone());
    loader = loader.region(region).credentials_provider(credentials.build().await);
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    loader.load().await
}

fn no_credentials(aws: &AwsSettings, e: &dyn Error) -> Fault {
    let profile = aws.profile.clone().or_else(|| std::env::var("AWS_PROFILE").ok()).unwrap_or_else(|| "default".to_owned());
    Fault::refused(format!(
        "no AWS credentials: none in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in profile `{profile}` of ~/.aws (keys, SSO, a process), from a web \
         identity, a container or an EC2 instance ({}); type `aws configure` or `aws sso login`, or export the two variables",
        innermost(e)
    ))
}

/// What a failed call means. `what` names the call for a person.
pub(super) fn fault<E>(what: &str, e: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(response) = e.raw_response() {
        let status = response.status().as_u16();
        let said = match e {
            SdkError::ServiceError(service) => words(service.err()),
            _ => format!("an answer that cannot be read: {}", innermost(e)),
        };
        let cause = format!("{what}: {said} (HTTP {status})");
        // An answer below 400 says yes, in words that we do not understand.
        return if (400..500).contains(&status) { Fault::refused(cause) } else { Fault::lost(cause) };
    }
    let why = innermost(e);
    match e {
        SdkError::ConstructionFailure(_) => Fault::refused(format!("{what}: it could not be asked: {why}")),
        SdkError::DispatchFailure(_) if chain(e).contains("redential") => {
            Fault::refused(format!("{what}: the AWS credentials could not be renewed: {why}"))
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => Fault::refused(format!("{what}: it could not be asked: {why}")),
        SdkError::DispatchFailure(_) if never_connected(e) => Fault::unreachable(format!("{what}: the service cannot be reached: {why}")),
        _ => Fault::lost(format!("{what}: no answer came: {why}")),
    }
}

/// The code and the message, of which a service may leave out either.
fn words(e: &impl ProvideErrorMetadata) -> String {
    match (e.code(), e.message()) {
        (Some(code), Some(message)) if !message.is_empty() => format!("{code}: {message}"),
        (Some(code), _) => code.to_owned(),
        (None, Some(message)) if !message.is_empty() => message.to_owned(),
        _ => "a refusal without words".to_owned(),
    }
}

/// True only where the client says that it was still connecting: of anything else nobody knows whether it was sent.
fn never_connected(e: &dyn Error) -> bool {
    let chain = chain(e);
    ["(Connect)", "error trying to connect", "connect timeout", "dns error"].iter().any(|sign| chain.contains(sign))
}

fn chain(e: &dyn Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
