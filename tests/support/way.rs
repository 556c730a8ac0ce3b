//! A way to a server that can be lost: it stands between the program and a real server, and breaks at the messages of a
//! transaction's end. It knows the word COMMIT as both sides write it, and nothing else of what they say.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Lets everything through.
pub const OPEN: u8 = 0;
/// Sends the next COMMIT on, waits for its answer, and breaks the connection instead of giving it.
pub const LOSE_REPLY: u8 = 1;
/// Breaks the connection instead of sending the next COMMIT on.
pub const LOSE_COMMIT: u8 = 2;
/// Takes connections and gives no answer.
pub const BLACK_HOLE: u8 = 3;
/// Refuses.
pub const SHUT: u8 = 4;
/// Swallows every COMMIT.
pub const SWALLOW: u8 = 5;

/// The way.
pub struct Way {
    /// Where it begins, on this machine.
    pub port: u16,
    state: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    mode: AtomicU8,
    /// COMMITs that were lost, or whose reply was.
    lost: AtomicU8,
    /// Every COMMIT that came by.
    commits: AtomicUsize,
    /// What happens at which COMMIT, before it breaks there.
    fate: Mutex<Option<Fate>>,
}

struct Fate {
    nth: usize,
    mode: u8,
    deed: Box<dyn FnOnce() + Send>,
}

impl Way {
    /// To the server of an address, `postgres://…@127.0.0.1:PORT/…`.
    pub fn before(url: &str) -> Way {
        let server = server(url);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::<Shared>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.mode() == SHUT {
                    continue;
                }
                let there = TcpStream::connect(&server).expect("the server is there, whatever its way does");
                let (a, b) = (client.try_clone().expect("a handle"), there.try_clone().expect("a handle"));
                let (forth_shared, back_shared) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || forth(client, there, &forth_shared));
                std::thread::spawn(move || back(b, a, &back_shared));
            }
        });
        Way { port, state }
    }

    /// The same address by this way.
    pub fn instead(&self, url: &str) -> String {
        url.replace(&server(url), &format!("127.0.0.1:{}", self.port))
    }

    /// From now on.
    pub fn set(&self, mode: u8) {
        self.state.mode.store(mode, Ordering::SeqCst);
    }

    /// How many COMMITs were lost, or their replies.
    pub fn lost(&self) -> u8 {
        self.state.lost.load(Ordering::SeqCst)
    }

    /// How many COMMITs came by.
    pub fn commits(&self) -> usize {
        self.state.commits.load(Ordering::SeqCst)
    }

    /// At the `nth` COMMIT from here, counted from 1: it is lost ([`LOSE_COMMIT`]) or its reply is ([`LOSE_REPLY`]), and
    /// before that this is done.
    pub fn at_commit(&self, nth: usize, mode: u8, deed: impl FnOnce() + Send + 'static) {
        let nth = self.commits() + nth;
        *self.state.fate.lock().expect("nobody panicked with it") = Some(Fate { nth, mode, deed: Box::new(deed) });
    }
}

impl Shared {
    fn mode(&self) -> u8 {
        self.mode.load(Ordering::SeqCst)
    }

    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::SeqCst);
    }

    /// A COMMIT comes by; what is to happen to it.
    fn commit(&self) -> u8 {
        let nth = 1 + self.commits.fetch_add(1, Ordering::SeqCst);
        match &*self.fate.lock().expect("nobody panicked with it") {
            Some(fate) if fate.nth == nth => fate.mode,
            _ => self.mode(),
        }
    }

    /// What is to be done before it breaks.
    fn deed(&self) {
        if let Some(fate) =
            self.fate.lock().expect("nobody panicked with it").take_if(|fate| fate.nth <= self.commits.load(Ordering::SeqCst))
        {
            (fate.deed)();
        }
        self.set_open();
    }

    fn set_open(&self) {
        self.mode.store(OPEN, Ordering::SeqCst);
    }
}

fn server(url: &str) -> String {
    let port = url.split(['@', '/']).find_map(|part| part.strip_prefix("127.0.0.1:")).expect("an address of this machine");
    format!("127.0.0.1:{port}")
}

fn end(a: &TcpStream, b: &TcpStream) {
    let _ = (a.shutdown(Shutdown::Both), b.shutdown(Shutdown::Both));
}

fn commits(bytes: &[u8]) -> bool {
    bytes.windows(7).any(|w| w == b"COMMIT\0")
}

fn forth(mut client: TcpStream, mut there: TcpStream, shared: &Shared) {
    let mut buffer = [0; 65536];
    while let Ok(n @ 1..) = client.read(&mut buffer) {
        let commit = commits(&buffer[..n]);
        match if commit { shared.commit() } else { shared.mode() } {
            SHUT => break,
            BLACK_HOLE => continue,
            LOSE_COMMIT if commit => {
                shared.lose();
                shared.deed();
                break;
            }
            SWALLOW if commit => {
                shared.lose();
                continue;
            }
            LOSE_REPLY if commit => {
                shared.lose();
                // From here on the other direction waits for its answer.
                shared.mode.store(LOSE_REPLY, Ordering::SeqCst);
            }
            _ => {}
        }
        if there.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    end(&client, &there);
}

fn back(mut there: TcpStream, mut client: TcpStream, shared: &Shared) {
    let mut buffer = [0; 65536];
    while let Ok(n @ 1..) = there.read(&mut buffer) {
        match shared.mode() {
            SHUT => break,
            BLACK_HOLE => continue,
            LOSE_REPLY if commits(&buffer[..n]) => {
                shared.deed();
                break;
            }
            _ => {}
        }
        if client.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    end(&client, &there);
}
