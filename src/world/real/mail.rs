//! Mail, handed to one server over SMTP, each on a connection of its own. It does not know what a mail says.

use std::time::Duration;

use async_trait::async_trait;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::{host_name, innermost};
use crate::world::{Answer, Fault, Letter, Mail};

const UNSET: &str = "no mail server is set: --smtp smtp://HOST:25, or DRPLAN_SMTP";

const LATE: &str = "the mail server did not answer in time";

/// How long a server may take to say that it is there.
const REACH: Duration = Duration::from_secs(10);

/// A mail server, as the settings of this machine have it.
#[derive(Clone)]
pub struct Smtp {
    /// `smtp://HOST:25`; `smtp://USER@HOST:587?tls=required` for STARTTLS, `smtps://USER@HOST` for TLS from the start.
    pub url: String,
    /// The password of that user; never part of the address.
    pub password: Option<String>,
    /// Whom mail is from; `drplan@` this machine if nobody says.
    pub from: Option<String>,
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smtp").field("url", &self.url).field("from", &self.from).finish_non_exhaustive()
    }
}

impl Smtp {
    /// Why these settings cannot be used, if so.
    pub fn check(&self) -> Answer<()> {
        self.transport(Duration::from_secs(1)).and_then(|_| self.from()).map(drop)
    }

    fn transport(&self, timeout: Duration) -> Answer<AsyncSmtpTransport<Tokio1Executor>> {
        let wrong = |why: String| Fault::refused(format!("the mail server of the settings cannot be used: {why}"));
        let url = reqwest::Url::parse(&self.url).map_err(|e| wrong(e.to_string()))?;
        if url.password().is_some() {
            return Err(wrong("a password stands in its address; give it as DRPLAN_SMTP_PASSWORD".to_owned()));
        }
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&self.url).map_err(|e| wrong(innermost(&e)))?;
        let builder = match (url.username(), &self.password) {
            ("", _) => builder,
            (user, Some(password)) => builder.credentials(Credentials::new(user.to_owned(), password.clone())),
            (user, None) => return Err(wrong(format!("it needs the password of {user}: DRPLAN_SMTP_PASSWORD"))),
        };
        Ok(builder.timeout(Some(timeout)).build())
    }

    fn from(&self) -> Answer<Mailbox> {
        let from = self.from.clone().unwrap_or_else(|| format!("drplan@{}", host_name()));
        from.parse().map_err(|e| Fault::refused(format!("`{from}` is no address that a mail can be from: {e}")))
    }
}

/// The network.
pub(super) struct Real {
    /// None: nobody said which.
    pub(super) server: Option<Smtp>,
}

#[async_trait]
impl Mail for Real {
    async fn send(&self, letter: &Letter) -> Answer<()> {
        let Some(server) = &self.server else {
            return Err(Fault::refused(UNSET));
        };
        // The address may be a secret: no message holds it.
        let to: Mailbox = letter.to.parse().map_err(|_| Fault::refused("the address is no mail address"))?;
        let message = Message::builder()
            .from(server.from()?)
            .to(to)
            .subject(letter.subject.clone())
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text.clone())
            .map_err(|e| Fault::refused(format!("the mail cannot be made: {e}")))?;
        let limit = Duration::from_millis(letter.timeout_ms);
        let transport = server.transport(limit)?;
        // Its own limit is that of the connection alone.
        match tokio::time::timeout(limit, transport.send(message)).await {
            Ok(sent) => sent.map(drop).map_err(|e| fault(&e)),
            Err(_) => Err(Fault::lost(LATE)),
        }
    }

    async fn reach(&self) -> Answer<()> {
        let server = self.server.as_ref().ok_or_else(|| Fault::refused(UNSET))?;
        match server.transport(REACH)?.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Fault::refused("the mail server answered, and not as one does")),
            Err(e) => Err(fault(&e)),
        }
    }
}

fn fault(e: &Error) -> Fault {
    let why = innermost(e);
    if e.is_permanent() || e.is_transient() {
        Fault::refused(format!("the mail server refused it: {}", code(e)))
    } else if e.is_timeout() {
        Fault::lost(LATE)
    } else if e.is_client() || e.is_tls() {
        Fault::refused(format!("the mail server cannot be used: {why}"))
    } else if e.to_string().starts_with("Connection error") {
        Fault::unreachable(format!("the mail server cannot be reached: {why}"))
    } else {
        // Whatever came after the connection may have been taken.
        Fault::lost(format!("the mail server broke off before it said that it took the mail: {why}"))
    }
}

/// What it answered, without its words: they may repeat the address.
fn code(e: &Error) -> String {
    e.status().map_or_else(|| "without a code".to_owned(), |code| format!("code {code}"))
}
