//! Waiting for a fact, not for a time.

use std::time::{Duration, Instant};

/// How long anything may take.
pub const LONG: Duration = Duration::from_secs(60);

/// What is so, or is found, or not yet.
pub trait Fact {
    /// What is found.
    type Found;
    /// It, once it is there.
    fn found(self) -> Option<Self::Found>;
}

impl Fact for bool {
    type Found = ();
    fn found(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Fact for Option<T> {
    type Found = T;
    fn found(self) -> Option<T> {
        self
    }
}

/// Asks again and again.
pub fn until<F: Fact>(what: &str, mut look: impl FnMut() -> F) -> F::Found {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().found() {
            return found;
        }
        assert!(begun.elapsed() < LONG, "{what}: not in {LONG:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
