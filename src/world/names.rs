//! Name servers, as the actions see them. It does not know how they are asked.

use async_trait::async_trait;

use super::{Answer, RecordSet};

/// A name server, and the key with which changes are signed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NameServer {
    /// `HOST` or `HOST:PORT`.
    pub at: String,
    /// The key; none: changes are not signed.
    pub key: Option<NameKey>,
    /// Questions go by TCP from the start: nobody can answer in its place, and nothing is cut.
    pub stream: bool,
}

/// A TSIG key.
#[derive(Clone, PartialEq, Eq)]
pub struct NameKey {
    /// Its name.
    pub name: String,
    /// `hmac-sha256`, `hmac-sha384` or `hmac-sha512`.
    pub algorithm: String,
    /// Its secret, in base64.
    pub secret: String,
}

/// What a name server answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameAnswer {
    /// Values, sorted; none if there is no such record.
    pub values: Vec<String>,
    /// Seconds that whoever hears this may go on believing it, that there is nothing too.
    pub ttl_s: Option<u32>,
    /// True if the server has it from its own zone.
    pub authoritative: bool,
}

/// Name servers.
#[async_trait]
pub trait Names: Send + Sync {
    /// What a server answers for a name and a type. No answer is `unreachable`, one that is no answer to this question `refused`.
    async fn ask(&self, server: &NameServer, name: &str, kind: &str, timeout_ms: u64) -> Answer<NameAnswer>;
    /// Makes `new` of `old`, all or nothing, and only if exactly `old` is there (none: nothing); the server itself sees to that.
    async fn update(
        &self,
        server: &NameServer,
        zone: &str,
        old: Option<&RecordSet>,
        new: Option<&RecordSet>,
        timeout_ms: u64,
    ) -> Answer<()>;
}
