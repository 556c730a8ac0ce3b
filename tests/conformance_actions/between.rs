//! What may stand between an action and its server: it cuts the connection after so many bytes, stops answering, or is
//! no such server at all. It knows bytes, and neither protocol nor action.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When the way to a server breaks, counted over all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Never.
    Never,
    /// After so many bytes to the server: the rest of a request does not come.
    Up(u64),
    /// After so many bytes from the server: the rest of a reply is lost.
    Down(u64),
    /// After so many bytes from the server nothing comes any more, and nobody closes.
    Mute(u64),
}

/// A way to a server.
pub struct Way {
    /// Where it begins, as `HOST:PORT`.
    pub at: String,
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
}

impl Way {
    /// To a server of this machine.
    pub fn to(server: &str, breaks: Break) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Way { at: listener.local_addr().unwrap().to_string(), up: Arc::default(), down: Arc::default() };
        let (server, up, down) = (server.to_owned(), Arc::clone(&way.up), Arc::clone(&way.down));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = TcpStream::connect(&server) else { continue };
                let (a, b) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                let (up, down) = (Arc::clone(&up), Arc::clone(&down));
                let limit = |wanted: fn(Break) -> Option<u64>| wanted(breaks).unwrap_or(u64::MAX);
                let up_limit = limit(|b| if let Break::Up(n) = b { Some(n) } else { None });
                let down_limit = limit(|b| if let Break::Down(n) | Break::Mute(n) = b { Some(n) } else { None });
                let mute = matches!(breaks, Break::Mute(_));
                std::thread::spawn(move || pass(a, b, &up, up_limit, false));
                std::thread::spawn(move || pass(upstream, client, &down, down_limit, mute));
            }
        });
        way
    }

    /// Bytes that went to the server, and from it.
    pub fn passed(&self) -> (u64, u64) {
        (self.up.load(Ordering::SeqCst), self.down.load(Ordering::SeqCst))
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, passed: &AtomicU64, limit: u64, mute: bool) {
    let mut buffer = vec![0; 1 << 14];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let before = passed.fetch_add(count as u64, Ordering::SeqCst);
        let let_through = usize::try_from(limit.saturating_sub(before)).unwrap_or(usize::MAX).min(count);
        if to.write_all(&buffer[..let_through]).is_err() {
            break;
        }
        if let_through < count {
            if mute {
                // What comes is taken and kept: the server is to believe that it was heard.
                while from.read(&mut buffer).is_ok_and(|n| n > 0) {}
                std::thread::sleep(Duration::from_secs(60));
            }
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// What answers where the server should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// Nobody.
    Nobody,
    /// A web server that says 200 and shows a page.
    Page,
    /// One that speaks no protocol.
    Noise,
    /// One that says 200 and never comes to an end.
    Endless,
    /// One that says 503, and to slow down.
    Busy,
}

/// An address at which a stranger answers.
pub fn stranger(who: Stranger) -> String {
    if who == Stranger::Nobody {
        return "127.0.0.1:1".to_owned(); // A port that the system gives to nobody who asks for any.
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(who, &mut client));
        }
    });
    at
}

fn answer(who: Stranger, client: &mut TcpStream) {
    let _ = client.set_read_timeout(Some(Duration::from_millis(200)));
    let mut asked = [0; 1 << 14];
    if who != Stranger::Noise {
        let _ = client.read(&mut asked);
    }
    let whole = |status: &str, kind: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    let said = match who {
        Stranger::Nobody => unreachable!("nobody listens"),
        Stranger::Page => whole("200 OK", "text/html", "<html><body><h1>It works!</h1></body></html>\n"),
        Stranger::Busy => whole(
            "503 Slow Down",
            "application/xml",
            "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
        ),
        Stranger::Noise => String::from_utf8_lossy(&[0x7f, 0x45, 0x00, 0x01, 0xff, 0x0a]).repeat(50),
        Stranger::Endless => "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n[".to_owned(),
    };
    let _ = client.write_all(said.as_bytes());
    if who == Stranger::Endless {
        let chunk = "0,".repeat(1 << 15);
        // As much as would be noticed; who reads on is stopped by the bound.
        for _ in 0..8_192 {
            if client.write_all(chunk.as_bytes()).is_err() {
                return;
            }
        }
    }
    // The rest of what is asked is heard: a reset would take the answer along.
    while client.read(&mut asked).is_ok_and(|n| n > 0) {}
}
