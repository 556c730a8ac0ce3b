//! One way to tell people: a webhook, or a mail. Runs that wait for a contact tell by it, and so do the steps
//! `notify.webhook` and `notify.email`. It does not know why they are told.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::world::{Answer, Fault, Letter, Request, World};

/// A message to a webhook.
pub struct Post {
    /// The address; may be a secret.
    pub url: String,
    /// Header fields besides the content's type.
    pub headers: Vec<(String, String)>,
    /// The JSON that is sent.
    pub body: String,
    /// Limit of the exchange.
    pub timeout_ms: u64,
}

/// Posts a message; the status of an answer that took it.
pub async fn post(world: &World, post: Post) -> Answer<u16> {
    let mut headers = post.headers;
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    let request = Request { method: "POST".to_owned(), url: post.url, headers, body: Some(post.body), timeout_ms: post.timeout_ms };
    let answer = world.http.send(&request).await?;
    match answer.status {
        200..300 if answer.truncated => Err(Fault::lost("its answer had no end")),
        status @ 200..300 => Ok(status),
        status @ 500.. => Err(Fault::lost(format!("it answered with status {status}"))),
        status => Err(Fault::refused(format!("it answered with status {status}"))),
    }
}

/// Hands a mail to the mail server of this machine's settings.
pub async fn mail(world: &World, letter: Letter) -> Answer<()> {
    world.mail.send(&letter).await
}

/// What a receiver that knows the key can check a message by: `sha256=…`, HMAC-SHA256 of the body in hexadecimal.
pub(super) fn signature(key: &str, body: &str) -> Answer<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| Fault::refused("the key cannot sign"))?;
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("sha256={hex}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_signature_is_the_one_of_the_standard() {
        // RFC 4231, test case 2.
        let found = super::signature("Jefe", "what do ya want for nothing?").unwrap();
        assert_eq!(found, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
