//! What the actions on AWS share: settings of the client and of the `aws` command line.

use serde_json::{Map, Value};

use super::{Call, Ctx, given, shell};
use crate::world::AwsSettings;

/// Settings of a step: its fields over the target's connection.
pub fn settings(ctx: &Ctx<'_>) -> AwsSettings {
    let of = |name: &str| from(ctx.with, name).or_else(|| ctx.target.and_then(|t| from(&t.connect, name)));
    let timeout_ms = ctx.timeout.map(|_| ctx.exchange_ms(u64::MAX));
    AwsSettings { endpoint: of("endpoint"), region: of("region"), profile: of("profile"), timeout_ms }
}

/// `aws SERVICE COMMAND` with the same settings, each value one word of sh.
pub fn command(call: &Call<'_>, service: &str) -> String {
    let mut line = format!("aws {service}");
    for (name, option) in [("endpoint", "--endpoint-url"), ("region", "--region"), ("profile", "--profile")] {
        if let Some(value) = call.field(name) {
            line.push_str(&format!(" {option} {}", shell::word(value)));
        }
    }
    line
}

fn from(map: &Map<String, Value>, name: &str) -> Option<String> {
    given::text(map, name).filter(|t| !t.is_empty())
}
