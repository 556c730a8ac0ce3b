//! The longest and the shortest gap between two runs of a schedule. It knows calendars and time zones.

use std::cell::RefCell;

use croner::Cron;
use foldhash::HashMap;
use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::Backup;

/// Years that are looked at: long enough for a leap day, a shift of the clock and every weekday of a date.
const YEARS: i16 = 8;
/// Where looking begins; a fixed day, so that the same plan always gives the same answer.
const FIRST_YEAR: i16 = 2026;
/// Runs among which a schedule's gaps are sampled: five weeks of a schedule that knows weekdays.
const RUNS: usize = 26;
/// Different schedules of a plan that are sampled: more than people have, and no plan can make reading it slow.
const SAMPLED: usize = 500;

const HOUR_MS: u64 = 3_600_000;
/// What runs more often is not missed when the clock leaves a run out.
const RARE_MS: u64 = 3 * HOUR_MS;

/// A schedule and its time zone.
type Line<'a> = (&'a str, Option<&'a str>);

/// Longest gaps of schedules that were asked for: many backups share one.
#[derive(Debug, Default)]
pub struct Gaps<'a>(RefCell<HashMap<Line<'a>, Option<u64>>>);

/// Gaps of schedules by sample, see [`sampled_gaps_ms`], and what the clock leaves out of them.
#[derive(Debug, Default)]
pub struct Samples<'a> {
    gaps: RefCell<HashMap<Line<'a>, Sample>>,
    left_out: RefCell<HashMap<Line<'a>, Option<DateTime>>>,
}

/// What is known of a schedule's gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// The shortest and the longest one that were seen, in milliseconds.
    Gaps(u64, u64),
    /// It does not run at least twice.
    Never,
    /// The plan has too many schedules, or the backup has none.
    Unknown,
}

impl<'a> Samples<'a> {
    /// What is known of a backup's schedule.
    pub fn of(&self, backup: &'a Backup) -> Sample {
        let Some(line) = backup.schedule.as_deref() else { return Sample::Unknown };
        let zone = backup.timezone.as_deref();
        let known = &mut *self.gaps.borrow_mut();
        if known.len() >= SAMPLED && !known.contains_key(&(line, zone)) {
            return Sample::Unknown;
        }
        let sampled = || sampled_gaps_ms(line, zone).map_or(Sample::Never, |(least, most)| Sample::Gaps(least, most));
        *known.entry((line, zone)).or_insert_with(sampled)
    }

    /// The first time of a backup's schedule that its clock leaves out, see [`left_out`].
    pub fn left_out(&self, backup: &'a Backup) -> Option<DateTime> {
        let (line, zone) = (backup.schedule.as_deref()?, backup.timezone.as_deref()?);
        let known = &mut *self.left_out.borrow_mut();
        if known.len() >= SAMPLED && !known.contains_key(&(line, Some(zone))) {
            return None;
        }
        // What runs again within hours is not missed.
        let rare = matches!(self.of(backup), Sample::Gaps(least, _) if least >= RARE_MS);
        *known.entry((line, Some(zone))).or_insert_with(|| if rare { left_out(line, zone) } else { None })
    }
}

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
    let mut before = 0;
    while at < end {
        let shifts = at.start_of_day().ok()?.offset() != at.end_of_day().ok()?.offset();
        if let (Some(last), false) = (last_of_day, shifts) {
            at = at.date().to_datetime(last).to_zoned(at.time_zone().clone()).ok()?;
        }
        loop {
            let Some(mut after) = next(&at) else { return (longest > 0).then_some(longest) };
            // An hour that the clock shows twice has one run, of what does not run every hour.
            if shifts && after.datetime() == at.datetime() && before > HOUR_MS {
                let Some(later) = next(&after) else { return (longest > 0).then_some(longest) };
                after = later;
            }
            before = ms_between(&at, &after);
            longest = longest.max(before);
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

/// The shortest and the longest gap between two of the first runs in milliseconds, which is soon known; none if it does not
/// run at least twice.
pub fn sampled_gaps_ms(schedule: &str, timezone: Option<&str>) -> Option<(u64, u64)> {
    let cron: Cron = schedule.parse().ok()?;
    let zone = TimeZone::get(timezone.unwrap_or("UTC")).ok()?;
    let mut at = jiff::civil::date(FIRST_YEAR, 1, 1).to_zoned(zone).ok()?;
    let mut found: Option<(u64, u64)> = None;
    for run in 0..RUNS {
        let Ok(next) = cron.find_next_occurrence(&at, false) else { break };
        if run > 0 {
            let gap = ms_between(&at, &next);
            found = found.map_or(Some((gap, gap)), |(least, most)| Some((least.min(gap), most.max(gap))));
        }
        at = next;
    }
    found
}

/// The first time of a schedule that there is not, because the clock of its zone goes forward over it.
pub fn left_out(schedule: &str, timezone: &str) -> Option<DateTime> {
    let cron: Cron = schedule.parse().ok()?;
    let zone = TimeZone::get(timezone).ok()?;
    let start = jiff::civil::date(FIRST_YEAR, 1, 1).to_zoned(zone.clone()).ok()?.timestamp();
    let end = jiff::civil::date(FIRST_YEAR + YEARS, 1, 1).to_zoned(zone.clone()).ok()?.timestamp();
    let mut before = zone.to_offset(start);
    for shift in zone.following(start).take_while(|shift| shift.timestamp() < end) {
        let (from, to) = (before.to_datetime(shift.timestamp()), shift.offset().to_datetime(shift.timestamp()));
        before = shift.offset();
        let mut at = from;
        while at < to {
            // The schedule knows only what a clock on the wall shows: any zone without shifts will do.
            if cron.is_time_matching(&at.to_zoned(TimeZone::UTC).ok()?).unwrap_or(false) {
                return Some(at);
            }
            at = at.checked_add(jiff::Span::new().minutes(1)).ok()?;
        }
    }
    None
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
    fn samples() {
        assert_eq!(sampled_gaps_ms("0 2 * * 1-5", None), Some((24 * H, 3 * 24 * H)));
        assert_eq!(sampled_gaps_ms("0 9-17 * * 1-5", None), Some((H, 64 * H)));
        assert_eq!(sampled_gaps_ms("0 2 * * 0", None), Some((7 * 24 * H, 7 * 24 * H)));
        assert_eq!(sampled_gaps_ms("0 2 30 2 *", None), None);
    }

    #[test]
    fn local_time_has_a_longer_night() {
        assert_eq!(longest_gap_ms("0 */6 * * *", None), Some(6 * H));
        assert_eq!(longest_gap_ms("0 */6 * * *", Some("Europe/Berlin")), Some(7 * H));
    }

    #[test]
    fn an_hour_that_is_not() {
        let at = |line, zone| left_out(line, zone).map(|t| t.to_string());
        assert_eq!(at("30 2 * * *", "Europe/Berlin").as_deref(), Some("2026-03-29T02:30:00"));
        assert_eq!(at("30 2 * * *", "America/New_York").as_deref(), Some("2026-03-08T02:30:00"));
        assert_eq!(at("30 3 * * *", "Europe/Berlin"), None);
        assert_eq!(at("30 2 * * 3", "Europe/Berlin"), None, "clocks go forward on Sundays");
        assert_eq!(at("30 2 * * *", "Asia/Kolkata"), None);
    }

    #[test]
    fn a_year_is_walked_whole() {
        // Twenty-three hours in March, twenty-five in October; days that not every month has; a February of twenty-nine.
        assert_eq!(longest_gap_ms("0 5 * * *", Some("Europe/Berlin")), Some(25 * H));
        assert_eq!(longest_gap_ms("0 3 31 * *", None), Some(61 * 24 * H));
        assert_eq!(longest_gap_ms("0 0 30 * *", None), Some(60 * 24 * H));
        assert_eq!(longest_gap_ms("15 1,13 * * *", Some("America/New_York")), Some(13 * H), "01:15 comes twice, and one run is counted");
        assert_eq!(longest_gap_ms("15 * * * *", Some("America/New_York")), Some(H), "what runs every hour runs in that one, too");
    }

    #[test]
    fn every_minute_is_quick() {
        assert_eq!(longest_gap_ms("* * * * *", Some("Europe/Berlin")), Some(60_000));
        assert_eq!(longest_gap_ms("0 0 29 2 *", None), Some((3 * 365 + 366) * 24 * H));
    }
}
