//! Processor time of this process: what else the machine does is not counted.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What some work gave, and the processor time that this process had meanwhile.
pub fn used<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    let began = now();
    let given = work();
    (given, now().saturating_sub(began))
}
