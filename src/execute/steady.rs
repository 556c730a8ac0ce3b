//! The time of a run: where its journal left off, and on from there by a clock that nobody sets. The wall clock of a
//! machine may jump a day in either direction, and may be wrong from the beginning; deadlines do not care. It does not
//! know what is waited for.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::actions::units::duration_text;
use crate::world::Clock;

/// Two clocks that differ by less are the same: they are set by the network, and not at once.
const SAME: SignedDuration = SignedDuration::from_secs(5);

/// The clock of one driver.
pub struct Steady {
    clock: Arc<dyn Clock>,
    /// The run's time when this driver began.
    base: Timestamp,
    begun: Duration,
    /// How far the wall clock was ahead of it when that was last looked at; none if it never was.
    ahead: Option<SignedDuration>,
}

impl Steady {
    /// Goes on from the time at which a driver last wrote. `quiet`: how long ago that was at least, by the clock of the
    /// journal. The time of a run never goes back.
    pub fn since(clock: Arc<dyn Clock>, last: Timestamp, quiet: Option<Duration>) -> Steady {
        let (wall, begun) = (clock.now(), clock.elapsed());
        let least = last + quiet.unwrap_or_default();
        Steady { clock, base: wall.max(least), begun, ahead: None }
    }

    /// The time now, in whole microseconds, as the journal keeps it.
    pub fn now(&self) -> Timestamp {
        let now = self.base + self.clock.elapsed().saturating_sub(self.begun);
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// What is to be said of the wall clock, once each time that it is found elsewhere.
    pub fn look(&mut self) -> Option<String> {
        let ahead = self.clock.now().duration_since(self.now());
        let before = self.ahead;
        let moved = ahead - before.unwrap_or_default();
        if before.is_some() && moved.abs() < SAME {
            return None;
        }
        self.ahead = Some(ahead);
        let by = |of: SignedDuration| duration_text(u64::try_from((of.abs().as_millis() + 500) / 1000 * 1000).unwrap_or(0));
        let on = "the run goes on by a clock that nobody sets";
        Some(match (before, moved.is_positive()) {
            (None, _) if moved.abs() < SAME => return None,
            (None, _) => {
                format!("the clock of this machine is {} behind the last event of the run: one of the two is wrong; {on}", by(ahead))
            }
            (Some(_), true) => format!("the clock of this machine was set forward by {}; {on}", by(moved)),
            (Some(_), false) => format!("the clock of this machine was set back by {}; {on}", by(moved)),
        })
    }
}

/// From when on nothing of an attempt of an earlier driver can land any more, by the time of this one. `until` is by the
/// earlier one's, whose last word was at `last`. Of the time since, only so much counts as the journal's clock and this
/// machine's both saw pass: either may have been set.
pub fn carried(until: Timestamp, last: Timestamp, quiet: Option<Duration>, now: Timestamp) -> Timestamp {
    let passed = now.duration_since(last).max(SignedDuration::ZERO);
    let sure = SignedDuration::try_from(quiet.unwrap_or_default()).map_or(passed, |quiet| quiet.min(passed));
    now + (until.duration_since(last) - sure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::sim::Sim;

    const DAY: Duration = Duration::from_secs(86_400);

    fn steady(sim: &Sim, last: Timestamp, quiet: Option<Duration>) -> Steady {
        Steady::since(sim.world().clock, last, quiet)
    }

    #[test]
    fn it_goes_on_where_the_journal_left_off_and_never_back() {
        let sim = Sim::new(1);
        let wall = sim.world().clock.now();
        assert_eq!(steady(&sim, wall - DAY, None).now(), wall, "a run that was left alone for a day");
        assert_eq!(steady(&sim, wall + DAY, None).now(), wall + DAY, "a journal from the future");
        assert_eq!(steady(&sim, wall, Some(DAY)).now(), wall + DAY, "a clock that was set back since");
    }

    #[test]
    fn a_jump_is_said_once_and_changes_nothing() {
        let sim = Sim::new(1);
        let wall = sim.world().clock.now();
        let mut steady = steady(&sim, wall, None);
        assert_eq!(steady.look(), None, "both are the same");
        sim.pass(60_000);
        assert_eq!((steady.look(), steady.now()), (None, wall + Duration::from_secs(60)));
        sim.jump(86_400);
        assert!(steady.look().is_some_and(|said| said.contains("was set forward by 1d")));
        assert_eq!((steady.look(), steady.now()), (None, wall + Duration::from_secs(60)));
        sim.jump(-2 * 86_400);
        assert!(steady.look().is_some_and(|said| said.contains("was set back by 2d")));
        assert_eq!(steady.now(), wall + Duration::from_secs(60));
    }

    #[test]
    fn a_journal_from_the_future_is_said_at_once() {
        let sim = Sim::new(1);
        let mut steady = steady(&sim, sim.world().clock.now() + DAY, None);
        assert!(steady.look().is_some_and(|said| said.contains("1d behind the last event of the run")));
        assert_eq!(steady.look(), None);
    }

    #[test]
    fn what_was_open_stays_so_until_both_clocks_have_seen_it_pass() {
        let last: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        let (minute, until) = (Duration::from_secs(60), last + Duration::from_secs(90));
        let left = |quiet, now: Timestamp| carried(until, last, quiet, now).duration_since(now).as_secs();
        assert_eq!(left(Some(minute), last + minute), 30, "both saw a minute pass");
        assert_eq!(left(Some(minute), last + DAY), 30, "the machine's clock runs a day ahead");
        assert_eq!(left(Some(DAY), last + minute), 30, "the journal's does");
        assert_eq!(left(Some(minute), last - DAY), 90, "the machine's is a day behind");
        assert_eq!(left(None, last + DAY), 90, "nobody can tell");
        assert!(left(Some(DAY), last + DAY) < 0, "a day has passed");
    }
}
