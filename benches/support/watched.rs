//! How much memory another process held at most.

use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

/// Waits for its end; the most memory that it had, in KiB, as far as a look every few milliseconds sees it.
pub fn to_its_end(child: &mut Child) -> u64 {
    let mut peak = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let hwm = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak = peak.max(hwm.unwrap_or(0));
        if child.try_wait().expect("it can be waited for").is_some() {
            return peak;
        }
        sleep(Duration::from_millis(5));
    }
}
