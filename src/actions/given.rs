//! Fields as they were given, read with their units. It does not know which action they belong to.

use serde_json::{Map, Value};

use super::template::plain;
use super::{Call, Ctx, Target, units};
use crate::world::{Answer, Fault};

/// A field as text; none if it is absent or null.
pub fn text(map: &Map<String, Value>, name: &str) -> Option<String> {
    map.get(name).filter(|v| !v.is_null()).map(plain)
}

/// A field as text that must be there.
pub fn need(map: &Map<String, Value>, name: &str) -> Answer<String> {
    text(map, name).filter(|t| !t.is_empty()).ok_or_else(|| Fault::refused(format!("`{name}` is not given")))
}

/// A duration in milliseconds, as the plan types it.
pub fn duration_ms(map: &Map<String, Value>, name: &str) -> Answer<Option<u64>> {
    text(map, name).map(|t| units::duration_ms(&t)).transpose().map_err(|p| Fault::refused(format!("`{name}`: {}", p.what)))
}

/// A size in bytes, as the plan types it.
pub fn size_bytes(map: &Map<String, Value>, name: &str) -> Answer<Option<u64>> {
    text(map, name).map(|t| units::size_bytes(&t)).transpose().map_err(|p| Fault::refused(format!("`{name}`: {}", p.what)))
}

/// A truth value.
pub fn bool(map: &Map<String, Value>, name: &str, default: bool) -> bool {
    text(map, name).map_or(default, |t| t == "true")
}

/// A list; empty if it is absent.
pub fn list<'a>(map: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    map.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A record or map; none if it is absent.
pub fn record<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    map.get(name).and_then(Value::as_object)
}

/// A path of the plan: a relative one stands in `dir`.
pub fn path(dir: &str, path: &str) -> String {
    if path.starts_with('/') || dir.is_empty() {
        return path.to_owned();
    }
    format!("{}/{}", dir.trim_end_matches('/'), path.strip_prefix("./").unwrap_or(path))
}

impl Ctx<'_> {
    /// The target; an action with kinds always has one.
    pub(super) fn asset(&self) -> Answer<&Target> {
        self.target.ok_or_else(|| Fault::refused("the step names no asset to act on"))
    }

    /// Milliseconds for one exchange with a server, within the attempt's own limit.
    pub(super) fn exchange_ms(&self, most: u64) -> u64 {
        self.timeout.map_or(most, |t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX).min(most)).max(1)
    }
}

impl Call<'_> {
    /// A field, else the key of the same name of the target's connection.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.with.get(name).or_else(|| self.target.and_then(|t| t.connect.get(name))).filter(|v| !v.is_null())
    }

    /// A field that needs no run to be known.
    pub(super) fn known(&self, name: &str) -> Option<&Value> {
        self.field(name).filter(|v| super::template::references(v).is_empty())
    }

    /// A field, else the key of the connection, else what stands for it in a document.
    pub(super) fn shown(&self, name: &str) -> Value {
        self.field(name).cloned().unwrap_or_else(|| Value::String(format!("({name} is not given)")))
    }
}
