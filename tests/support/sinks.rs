//! Servers that keep what they are sent: one for webhooks, one for mail. Real sockets on ports of their own; they end
//! with the test. They do not judge what they keep.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What arrived so far.
pub struct Sink {
    /// `127.0.0.1:PORT`.
    pub at: String,
    kept: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Sink {
    /// Takes every POST, answers with this status, keeps the bodies.
    pub fn http(status: u16) -> Sink {
        Sink::serve(move |stream| hook(stream, status))
    }

    /// Takes every mail, or refuses its receiver with 550; keeps what it took, the receiver in front.
    pub fn smtp(refuse: bool) -> Sink {
        Sink::serve(move |stream| mail(stream, refuse))
    }

    fn serve(exchange: impl Fn(TcpStream) -> Option<String> + Send + 'static) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address").to_string();
        let kept: Arc<(Mutex<Vec<String>>, Condvar)> = Arc::default();
        let (keep, told) = (Arc::clone(&kept), exchange);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(text) = told(stream) {
                    keep.0.lock().expect("nobody panicked with it").push(text);
                    keep.1.notify_all();
                }
            }
        });
        Sink { at, kept }
    }

    /// Waits until what arrived is enough.
    pub fn until(&self, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let kept = self.kept.0.lock().expect("nobody panicked with it");
        let wait = Duration::from_secs(30);
        let (kept, late) = self.kept.1.wait_timeout_while(kept, wait, |kept| !enough(kept)).expect("nobody panicked with it");
        assert!(!late.timed_out(), "this is all that arrived: {kept:#?}");
        kept.clone()
    }

    /// What arrived.
    pub fn all(&self) -> Vec<String> {
        self.kept.0.lock().expect("nobody panicked with it").clone()
    }
}

fn hook(mut stream: TcpStream, status: u16) -> Option<String> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    let mut line = String::new();
    while lines.read_line(&mut line).ok()? > 0 && line.trim() != "" {
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().ok()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    let _ = write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    (length > 0).then(|| String::from_utf8_lossy(&body).into_owned())
}

fn mail(mut stream: TcpStream, refuse: bool) -> Option<String> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let mut say = |text: &str| stream.write_all(format!("{text}\r\n").as_bytes());
    say("220 sink").ok()?;
    let (mut to, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if lines.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "RCPT" if refuse => say("550 no such mailbox").ok()?,
            "RCPT" => {
                to = line.trim().to_owned();
                say("250 ok").ok()?;
            }
            "DATA" => {
                say("354 go on").ok()?;
                let mut text = format!("{to}\n");
                loop {
                    line.clear();
                    lines.read_line(&mut line).ok()?;
                    if line.trim_end() == "." {
                        break;
                    }
                    text.push_str(line.trim_end());
                    text.push('\n');
                }
                say("250 taken").ok()?;
                return Some(text);
            }
            "QUIT" => {
                let _ = say("221 bye");
                return None;
            }
            _ => say("250 ok").ok()?,
        }
    }
}
