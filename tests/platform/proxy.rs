//! Stands between the program and a server, and keeps the reply to one statement for itself: the server has done it, and
//! the program will never know. It knows what the program sends: a statement's text
//! first, and the word that executes it later.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// The proxy. Only the first reply is kept; later ones pass.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    kept: Receiver<()>,
}

impl Proxy {
    /// In front of a port of this machine, for the statement of this text, from the word on that executes it.
    pub fn before(port: u16, text: &'static str, act: &'static str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let (send, kept) = channel();
        let armed = Arc::new(AtomicBool::new(true));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                carry(client, server, [text, act], &armed, &send);
            }
        });
        Proxy { port: own, kept }
    }

    /// Waits until the server has answered and the answer was kept.
    pub fn kept(&self) {
        self.kept.recv_timeout(Duration::from_secs(60)).expect("the statement is sent, and answered");
    }
}

fn carry(client: TcpStream, server: TcpStream, [text, act]: [&'static str; 2], armed: &Arc<AtomicBool>, send: &Sender<()>) {
    let silent = Arc::new(AtomicBool::new(false));
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (armed, quiet) = (Arc::clone(armed), Arc::clone(&silent));
    std::thread::spawn(move || {
        let mut named = false;
        pass(&mut from, &mut to, |bytes| {
            let holds = |word: &str| bytes.windows(word.len()).any(|w| w == word.as_bytes());
            named |= holds(text);
            if named && holds(act) && armed.swap(false, Ordering::SeqCst) {
                quiet.store(true, Ordering::SeqCst);
            }
            true
        });
    });
    let (mut from, mut to, send) = (server, client, send.clone());
    std::thread::spawn(move || {
        pass(&mut from, &mut to, |_| {
            let keep = silent.load(Ordering::SeqCst);
            if keep {
                let _ = send.send(());
            }
            !keep
        });
    });
}

fn pass(from: &mut TcpStream, to: &mut TcpStream, mut seen: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if seen(&buffer[..count]) && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
