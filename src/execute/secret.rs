//! Values of a plan's secrets, and texts with them in it: to be used and forgotten, never written down.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::actions::template;
use crate::model::{Plan, SecretSource};
use crate::world::{Fault, World};

/// The value of a secret of the plan.
pub async fn value(world: &World, plan: &Plan, name: &str) -> Result<String, Fault> {
    let secret = plan.secrets.get(name).ok_or_else(|| Fault::refused(format!("the plan has no secret `{name}`")))?;
    let found = match &secret.source {
        SecretSource::Env(variable) => world.secrets.env(variable).await,
        SecretSource::File(path) => world.secrets.file(path).await,
        SecretSource::Command(argv) => world.secrets.command(argv).await,
    };
    found.map_err(|f| Fault { cause: format!("secret `{name}`: {}", f.cause), ..f })
}

/// Lets no command inherit a variable that holds a secret of the plan: what is to have it is given it.
pub fn hide(world: &World, plan: &Plan) {
    let variable = |source: &SecretSource| match source {
        SecretSource::Env(variable) => Some(variable.clone()),
        SecretSource::File(_) | SecretSource::Command(_) => None,
    };
    let variables: Vec<String> = plan.secrets.values().filter_map(|secret| variable(&secret.source)).collect();
    world.process.hide(&variables);
}

/// A value with its secrets in it, and these. What only a run knows cannot stand in it.
pub async fn filled(world: &World, plan: &Plan, raw: &Value) -> Result<(Value, Vec<String>), Fault> {
    let mut secrets = BTreeMap::new();
    for path in template::references(raw) {
        let name = path.strip_prefix("secrets.").ok_or_else(|| Fault::refused(format!("`${{{path}}}` is known only in a run")))?;
        if !secrets.contains_key(name) {
            secrets.insert(name.to_owned(), value(world, plan, name).await?);
        }
    }
    let full = template::fill(raw, &|path| secrets.get(path.strip_prefix("secrets.")?).cloned().map(Value::String));
    Ok((full, secrets.into_values().collect()))
}
