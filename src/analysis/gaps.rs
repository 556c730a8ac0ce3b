//! The longest and the shortest gap between two runs of a schedule. It knows calendars and time zones.

use std::cell::RefCell;

use croner::Cron;
use foldhash::HashMap;
use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::model::Backup;

/// Years that are looked at: long enough for a leap day, a shift of the clock and every weekday of a date.
const YEARS: i16 = 8;
/// Where looking begins; a fixed day, so that the same plan always gives the same answer.
const FIRST_YEAR: i16 = 2026;
/// Runs among which the shortest gap is looked for.
const RUNS: usize = 100;

/// Longest gaps of schedules that were asked for: many backups share one.
#[derive(Debug, Default)]
pub struct Gaps<'a>(RefCell<HashMap<(&'a str, Option<&'a str>), Option<u64>>>);

impl<'a> Gaps<'a> {
    /// The longest gap of a backup's schedule in milliseconds, see [`longest_gap_ms`].
    pub fn of(&self, backup: &'a Backup) -> Option<u64> {
        let (line, zone) = (backup.schedule.as_deref()?, backup.timezone.as_deref());
        *self.0.borrow_mut().entry((line, zone)).or_insert_with(|| longest_gap_ms(line, zone))
    }
}

/// The longest gap between two runs in milliseconds; none if it does not run at least twice.
pub fn longest_gap_ms(schedule: &str, timezone: Option<&str>) -> Option<u64> {
    let cron: Cron = schedule.parse().ok()?;
    let zone = TimeZone::get(timezone.unwrap_or("UTC")).ok()?;
    let start = jiff::civil::date(FIRST_YEAR, 1, 1).to_zoned(zone.clone()).ok()?;
    let end = jiff::civil::date(FIRST_YEAR + YEARS, 1, 1).to_zoned(zone).ok()?;
    let next = |after: &Zoned| cron.find_next_occurrence(after, false).ok();
    let mut longest = 0;
    let mut at = cron.find_next_occurrence(&start, true).ok()?;
    // The times of a day are the same on every day that has runs; only a day on which the clock shifts is walked again.
    let mut last_of_day = None;
    while at < end {
        let shifts = at.start_of_day().ok()?.offset() != at.end_of_day().ok()?.offset();
        if let (Some(last), false) = (last_of_day, shifts) {
            at = at.date().to_datetime(last).to_zoned(at.time_zone().clone()).ok()?;
        }
        loop {
            let Some(after) = next(&at) else { return (longest > 0).then_some(longest) };
            longest = longest.max(ms_between(&at, &after));
            let same_day = after.date() == at.date();
            if !same_day && !shifts {
                last_of_day = Some(at.time());
            }
            at = after;
            if !same_day {
                break;
            }
        }
    }
    (longest > 0).then_some(longest)
}

/// The shortest gap between two of the first runs in milliseconds; none if it does not run at least twice.
pub fn shortest_gap_ms(schedule: &str, timezone: Option<&str>) -> Option<u64> {
    let cron: Cron = schedule.parse().ok()?;
    let zone = TimeZone::get(timezone.unwrap_or("UTC")).ok()?;
    let mut at = jiff::civil::date(FIRST_YEAR, 1, 1).to_zoned(zone).ok()?;
    let mut runs = Vec::with_capacity(RUNS);
    while runs.len() < RUNS
        && let Ok(next) = cron.find_next_occurrence(&at, false)
    {
        at = next.clone();
        runs.push(next);
    }
    runs.windows(2).map(|two| ms_between(&two[0], &two[1])).min()
}

fn ms_between(a: &Zoned, b: &Zoned) -> u64 {
    let gap = b.timestamp().as_millisecond() - a.timestamp().as_millisecond();
    u64::try_from(gap).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: u64 = 3_600_000;

    #[test]
    fn gaps() {
        assert_eq!(longest_gap_ms("0 * * * *", None), Some(H));
        assert_eq!(longest_gap_ms("0 2 * * *", None), Some(24 * H));
        assert_eq!(longest_gap_ms("0 2 * * 0", None), Some(7 * 24 * H));
        assert_eq!(longest_gap_ms("0 9-17 * * 1-5", None), Some((2 * 24 + 16) * H));
        assert_eq!(longest_gap_ms("0 3 1 * *", None), Some(31 * 24 * H));
        assert_eq!(longest_gap_ms("nonsense", None), None);
    }

    #[test]
    fn shortest_gaps() {
        assert_eq!(shortest_gap_ms("0 2 * * 1-5", None), Some(24 * H));
        assert_eq!(shortest_gap_ms("0 9-17 * * 1-5", None), Some(H));
        assert_eq!(shortest_gap_ms("0 2 * * 0", None), Some(7 * 24 * H));
    }

    #[test]
    fn local_time_has_a_longer_night() {
        assert_eq!(longest_gap_ms("0 */6 * * *", None), Some(6 * H));
        assert_eq!(longest_gap_ms("0 */6 * * *", Some("Europe/Berlin")), Some(7 * H));
    }

    #[test]
    fn every_minute_is_quick() {
        assert_eq!(longest_gap_ms("* * * * *", Some("Europe/Berlin")), Some(60_000));
        assert_eq!(longest_gap_ms("0 0 29 2 *", None), Some((3 * 365 + 366) * 24 * H));
    }
}
