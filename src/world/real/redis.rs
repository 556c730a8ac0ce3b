//! Redis servers, one command on a connection of its own. It does not know what a command means.

use std::time::Duration;

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates,
};
use async_trait::async_trait;
use serde_json::Value;

use crate::world::{Answer, Fault, Redis, RedisTarget};

/// The longest wait for a connection and its login.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The deepest list in a reply: none that is asked for has more than three levels.
const DEPTH_MAX: usize = 16;

/// The network.
pub(super) struct Real;

#[async_trait]
impl Redis for Real {
    async fn command(&self, to: &RedisTarget, words: &[&str], timeout_ms: u64) -> Answer<Value> {
        let at = format!("{}:{}", to.host, to.port.unwrap_or(6379));
        let limit = Duration::from_millis(timeout_ms);
        let client = client(to).await.map_err(|e| before(&at, &e))?;
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_MAX.min(limit))).set_response_timeout(Some(limit));
        // The connection's own limit does not count the login, which a server may never answer.
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = match tokio::time::timeout(CONNECT_MAX.min(limit), connecting).await {
            Ok(connection) => connection.map_err(|e| before(&at, &e))?,
            Err(_) => return Err(Fault::unreachable(format!("{at} did not answer in time"))),
        };
        let mut command = Cmd::new();
        words.iter().for_each(|word| {
            command.arg(*word);
        });
        let answer = match tokio::time::timeout(limit, command.query_async::<::redis::Value>(&mut connection)).await {
            Ok(answer) => answer.map_err(|e| after(&at, &e))?,
            Err(_) => return Err(Fault::lost(format!("{at} did not reply within {timeout_ms} ms"))),
        };
        json(answer, DEPTH_MAX).ok_or_else(|| Fault::lost(format!("{at} gave a reply that cannot be read")))
    }
}

async fn client(to: &RedisTarget) -> Result<Client, RedisError> {
    let (host, port) = (to.host.clone(), to.port.unwrap_or(6379));
    let mut login = RedisConnectionInfo::default().set_db(to.database.unwrap_or(0).into()).set_skip_set_lib_name();
    if let Some(user) = &to.user {
        login = login.set_username(user);
    }
    if let Some(password) = &to.password {
        login = login.set_password(password);
    }
    if !to.tls {
        return Client::open(ConnectionAddr::Tcp(host, port).into_connection_info()?.set_redis_settings(login));
    }
    let root_cert = match &to.tls_ca {
        Some(file) => Some(tokio::fs::read(file).await.map_err(|e| {
            RedisError::from((ErrorKind::InvalidClientConfig, "cannot read the certificate authority", format!("{file}: {e}")))
        })?),
        None => None,
    };
    let addr = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
    Client::build_with_tls(addr.into_connection_info()?.set_redis_settings(login), TlsCertificates { client_tls: None, root_cert })
}

/// A failure before the command was sent.
fn before(at: &str, e: &RedisError) -> Fault {
    match e.kind() {
        ErrorKind::Io => Fault::unreachable(format!("{at} cannot be reached: {}", words(e))),
        ErrorKind::AuthenticationFailed => Fault::refused(format!("{at} refuses the login: {}", words(e))),
        _ => Fault::refused(format!("{at}: {}", words(e))),
    }
}

/// A failure after it was sent: only an error reply is a no.
fn after(at: &str, e: &RedisError) -> Fault {
    match e.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => Fault::refused(format!("{at} said: {}", words(e))),
        _ => Fault::lost(format!("{at}: the reply was lost: {}", words(e))),
    }
}

fn words(e: &RedisError) -> String {
    let code = e.code().map(|code| format!("{code} ")).unwrap_or_default();
    match e.detail().filter(|d| !d.is_empty()) {
        Some(detail) if matches!(e.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => format!("{code}{detail}"),
        _ => super::innermost(e),
    }
}

/// None for what no command of ours gives, and for a reply that never ends going deeper.
fn json(value: ::redis::Value, depth: usize) -> Option<Value> {
    use ::redis::Value as Reply;
    let depth = depth.checked_sub(1)?;
    Some(match value {
        Reply::Nil => Value::Null,
        Reply::Int(n) => n.into(),
        Reply::Okay => "OK".into(),
        Reply::SimpleString(text) => text.into(),
        Reply::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
        Reply::VerbatimString { text, .. } => text.into(),
        Reply::Array(items) | Reply::Set(items) => Value::Array(items.into_iter().map(|v| json(v, depth)).collect::<Option<_>>()?),
        _ => return None,
    })
}
