//! Faults planted on purpose, so that the simulation is seen to find them. Without the feature `planted-faults`,
//! which no release has, none is ever there.

/// True if this fault is planted now.
#[cfg(not(feature = "planted-faults"))]
pub fn planted(_fault: &str) -> bool {
    false
}

#[cfg(feature = "planted-faults")]
pub use real::{plant, planted};

#[cfg(feature = "planted-faults")]
mod real {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<&'static str> = const { Cell::new("") };
    }

    /// True if this fault is planted now.
    pub fn planted(fault: &str) -> bool {
        PLANTED.with(|p| p.get() == fault)
    }

    /// Plants a fault in this thread; the empty name plants none.
    pub fn plant(fault: &'static str) {
        PLANTED.with(|p| p.set(fault));
    }
}
