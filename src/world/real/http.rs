//! HTTP exchanges, each on a connection of its own. It does not know what an answer means.
//!
//! No redirect is followed and no proxy used, whatever the environment says: what a plan asks is what is asked, and an
//! answer is that of the target itself. Certificates are checked against the system's store.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};

use super::innermost;
use crate::world::{Answer, Fault, Http, Request, Response};

/// The longest body that is kept.
const BODY_MAX: usize = 1 << 20;
/// The longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The network.
pub(super) struct Real;

#[async_trait]
impl Http for Real {
    async fn send(&self, request: &Request) -> Answer<Response> {
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| Fault::refused(format!("`{}` is not an HTTP method", request.method)))?;
        // The address may be a secret: no message holds more of it than host and port.
        let url = Url::parse(&request.url).map_err(|e| Fault::refused(format!("this is not an address: {e}")))?;
        let at = place(&url)?;
        let mut sending = client(Duration::from_millis(request.timeout_ms))?.request(method, url).headers(headers(&request.headers)?);
        if let Some(body) = &request.body {
            sending = sending.body(body.clone());
        }
        let mut response = sending.send().await.map_err(|e| fault(&at, request.timeout_ms, &e))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let mut body = Vec::new();
        while body.len() <= BODY_MAX {
            match response.chunk().await.map_err(|e| fault(&at, request.timeout_ms, &e))? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => break,
            }
        }
        let truncated = body.len() > BODY_MAX;
        body.truncate(BODY_MAX);
        Ok(Response { status, headers, body: String::from_utf8_lossy(&body).into_owned(), truncated })
    }
}

/// A client for one exchange. The connection's share of the time ends before the whole: a time-out in it is known to
/// be one before anything was sent.
fn client(timeout: Duration) -> Answer<Client> {
    Client::builder()
        .user_agent(concat!("drplan/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout((timeout * 9 / 10).min(CONNECT_MAX))
        .timeout(timeout)
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|e| Fault::refused(format!("no HTTP client: {}", innermost(&e))))
}

fn place(url: &Url) -> Answer<String> {
    match (url.scheme(), url.host_str(), url.port_or_known_default()) {
        ("http" | "https", Some(host), Some(port)) => Ok(format!("{host}:{port}")),
        _ => Err(Fault::refused("the address must begin with http:// or https:// and a host")),
    }
}

fn headers(given: &[(String, String)]) -> Answer<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let (Ok(key), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(Fault::refused(format!("the header field `{name}` is not a header field")));
        };
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}

fn fault(at: &str, timeout_ms: u64, e: &reqwest::Error) -> Fault {
    // The outer causes name the address, which may be a secret.
    let why = innermost(e);
    if e.is_builder() {
        Fault::refused(format!("the request to {at} cannot be made: {why}"))
    } else if e.is_connect() && why.contains("certificate") {
        Fault::refused(format!("{at} answered, but its certificate is not good: {why}"))
    } else if e.is_connect() {
        Fault::unreachable(format!("{at} cannot be reached: {why}"))
    } else if e.is_timeout() {
        Fault::lost(format!("{at} did not answer in {timeout_ms} ms"))
    } else {
        Fault::lost(format!("the connection to {at} broke before the whole answer came: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::world::Landed;

    /// Answers one exchange with these bytes and hangs up; gives the address and what was asked.
    async fn server(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/path?token=s3cret-token", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let n = stream.read(&mut asked).await.unwrap();
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
            String::from_utf8_lossy(&asked[..n]).into_owned()
        });
        (url, asked)
    }

    fn get(url: String) -> Request {
        Request { method: "GET".to_owned(), url, timeout_ms: 5_000, ..Request::default() }
    }

    #[tokio::test]
    async fn an_exchange_brings_what_was_said_and_follows_nothing() {
        let (url, asked) =
            server(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nX-A: b\r\ncontent-length: 2\r\n\r\nhi".to_vec()).await;
        let headers = vec![("x-key".to_owned(), "k".to_owned())];
        let request = Request { method: "POST".to_owned(), headers, body: Some("whole body".to_owned()), ..get(url) };
        let response = Real.send(&request).await.unwrap();
        assert_eq!((response.status, response.body.as_str(), response.truncated), (302, "hi", false));
        assert!(response.headers.contains(&("x-a".to_owned(), "b".to_owned())));
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("POST /path?token=") && asked.contains("x-key: k") && asked.ends_with("whole body"), "{asked}");
    }

    #[tokio::test]
    async fn a_body_is_cut_at_one_mebibyte_and_says_so() {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(answer.len() + BODY_MAX + 1, b'x');
        let (url, _asked) = server(answer).await;
        let response = Real.send(&get(url)).await.unwrap();
        assert!(response.truncated && response.body.len() == BODY_MAX);
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/s3cret-token", listener.local_addr().unwrap());
        drop(listener);
        let fault = Real.send(&get(url)).await.unwrap_err();
        assert!(fault.unreachable && fault.landed == Landed::No && fault.cause.contains("refused"), "{fault:?}");
        assert!(!fault.cause.contains("s3cret"), "{fault:?}");
        assert!(Real.send(&get("http://no-such-host.invalid/".to_owned())).await.unwrap_err().unreachable);
    }

    #[tokio::test]
    async fn a_silent_or_broken_answer_is_lost() {
        let (url, _asked) = server(Vec::new()).await;
        let fault = Real.send(&get(url)).await.unwrap_err();
        assert!(fault.landed == Landed::Maybe && !fault.cause.contains("s3cret"), "{fault:?}");
        let (url, _asked) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec()).await;
        assert_eq!(Real.send(&get(url)).await.unwrap_err().landed, Landed::Maybe);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let request = Request { timeout_ms: 100, ..get(format!("http://{}/", listener.local_addr().unwrap())) };
        let fault = Real.send(&request).await.unwrap_err();
        assert!(fault.landed == Landed::Maybe && fault.cause.ends_with("did not answer in 100 ms"), "{fault:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_refused() {
        for (method, url) in [("GET", "ftp://h/"), ("GET", "not an address"), ("NOT A METHOD", "http://h/")] {
            let fault = Real.send(&Request { method: method.to_owned(), ..get(url.to_owned()) }).await.unwrap_err();
            assert!(fault.landed == Landed::No && !fault.unreachable, "{fault:?}");
        }
    }
}
