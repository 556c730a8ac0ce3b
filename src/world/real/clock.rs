//! Time as this machine tells it. It does not know what is waited for.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::world::Clock;

/// The machine's clocks.
pub(super) struct Real;

#[async_trait]
impl Clock for Real {
    fn now(&self) -> Timestamp {
        wall()
    }

    fn elapsed(&self) -> Duration {
        since_boot()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// Wall-clock time in whole microseconds, as the journal keeps it: what a driver tells while it runs is what is read later.
pub(super) fn wall() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// Time since this boot; it goes on while the machine sleeps, and every process of this boot reads the same.
pub(super) fn since_boot() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_boot_clock_goes_on_and_is_not_the_wall_clock() {
        let before = Real.elapsed();
        Real.sleep(Duration::from_millis(2)).await;
        let passed = Real.elapsed().saturating_sub(before);
        assert!(passed >= Duration::from_millis(2) && passed < Duration::from_secs(60), "{passed:?}");
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!((Real.elapsed().as_secs_f64() - uptime).abs() < 5.0);
    }
}
