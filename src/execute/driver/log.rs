//! What a driver writes and reads: events folded as they are staged, appended together, and read again when somebody
//! spoke meanwhile. It does not know what an event is about.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;

use super::{Driver, Message, Outcome, STALE, Stop};
use crate::execute::planted::planted;
use crate::execute::state::Life;
use crate::journal::{Entry, Error, Event, Head};

impl Driver<'_> {
    /// Reads what voices appended.
    pub(super) async fn refresh(&mut self) -> Result<(), Stop> {
        if self.store.head(&self.state.run).await?.seq == self.head.seq {
            return Ok(());
        }
        let entries = self.store.read(&self.state.run, self.head.seq).await?;
        self.still_ours(&entries)?;
        let head = self.store.head(&self.state.run).await?;
        for entry in entries {
            self.fold(&entry)?;
            self.observer.entry(&entry, &self.state);
        }
        // A voice may have spoken between the two: then the digests differ and the next append is refused as moved.
        self.head = Head { seq: self.state.seq, digest: head.digest };
        Ok(())
    }

    /// What another driver wrote leaves no place for what happened here.
    fn still_ours(&self, entries: &[Entry]) -> Result<(), Stop> {
        let later = |entry: &Entry| matches!(entry.event, Event::LeaseTaken { fence, .. } if fence > self.lease.fence);
        if entries.iter().any(later) { Err(Error::Fenced.into()) } else { Ok(()) }
    }

    fn fold(&mut self, entry: &Entry) -> Result<(), Stop> {
        self.state.fold(entry).map_err(|e| Stop::With(Outcome::JournalFailed(e.to_string())))
    }

    /// Folds an event that is appended next. `fact`: it happened, whatever anybody said meanwhile; else it was decided
    /// on what is known here, and only then holds.
    pub(super) fn stage(&mut self, event: Event, fact: bool) -> Result<(), Stop> {
        self.stage_at(self.time.now(), event, fact)
    }

    fn stage_at(&mut self, at: Timestamp, event: Event, fact: bool) -> Result<(), Stop> {
        let entry = Entry { seq: self.state.seq + 1, at, event };
        self.fold(&entry)?;
        self.staged.push((at, entry.event));
        self.facts.push(fact);
        Ok(())
    }

    /// Appends what is staged, all of it or nothing; then what was announced begins.
    pub(super) async fn append(&mut self) -> Result<(), Stop> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let sent = self.world.clock.elapsed();
        let fence = Some(self.lease.fence).filter(|_| !planted("append-unfenced"));
        match self.store.append(&self.state.run, &self.head, fence, &self.staged).await {
            Ok(head) => {
                let first = self.head.seq + 1;
                self.head = head;
                self.facts.clear();
                for (seq, (at, event)) in (first..).zip(std::mem::take(&mut self.staged)) {
                    self.observer.entry(&Entry { seq, at, event }, &self.state);
                }
                self.begin_announced(sent).await
            }
            Err(Error::Moved) => {
                self.reread().await?;
                Err(Stop::Again)
            }
            Err(other) => Err(other.into()),
        }
    }

    /// What is in the journal begins: soon after this driver heard that it has the run, and soon after its intent was
    /// sent. What the journal kept for longer is not begun under an intent whose last moment would pass too early.
    async fn begin_announced(&mut self, sent: Duration) -> Result<(), Stop> {
        let took = self.world.clock.elapsed().saturating_sub(sent);
        // A journal that is slow once is slow again.
        let slower = if took > STALE { 2 * took } else { Duration::ZERO };
        let latest = sent + STALE + std::mem::replace(&mut self.slack, slower);
        let mut heard = sent;
        while !self.announced.is_empty() && self.world.clock.elapsed() > heard + STALE && !planted("start-stale") {
            heard = self.world.clock.elapsed();
            self.store.beat(&self.lease).await?;
        }
        for mut announced in std::mem::take(&mut self.announced) {
            if heard > latest && !planted("begin-late") {
                self.lapse(&announced)?;
            } else {
                announced.errand.begin_by = Some(heard + STALE).filter(|_| !planted("start-stale"));
                self.begin_attempt(announced);
            }
        }
        Ok(())
    }

    /// The journal failed. Whoever looks on is told what it will not know, and what goes on without it.
    pub(super) fn part(&mut self) {
        let mut unwritten: Vec<Event> =
            std::mem::take(&mut self.staged).into_iter().zip(&self.facts).filter(|(_, fact)| **fact).map(|((_, event), _)| event).collect();
        // While it was asked in vain, nobody looked at what ended.
        let mut ended = Vec::new();
        while let Some(Some(message)) = self.work.next().now_or_never() {
            if let Message::Ended { i, doing, attempt, settles_ms, ended: how } = message {
                unwritten.push(self.end_event(i, doing, attempt, settles_ms, how, false));
                ended.push(i);
            }
        }
        let begun = |i: &usize| matches!(self.state.steps[*i].life, Life::Running { .. }) && self.announced.iter().all(|a| a.ready.i != *i);
        let running = (0..self.state.steps.len()).filter(begun).filter(|i| !ended.contains(i));
        let in_flight: Vec<&str> = running.map(|i| self.state.step(i).id.as_str()).collect();
        self.observer.parted(&unwritten, &in_flight);
    }

    /// Somebody spoke: the state as the journal has it now, and on it what happened here meanwhile.
    async fn reread(&mut self) -> Result<(), Stop> {
        for announced in std::mem::take(&mut self.announced) {
            if !planted("forget-hands") {
                self.hands.busy.remove(&announced.ready.i);
            }
        }
        let staged = std::mem::take(&mut self.staged).into_iter().zip(std::mem::take(&mut self.facts));
        let entries = self.store.read(&self.state.run, 0).await?;
        self.still_ours(&entries)?;
        self.state = self.state.again(&entries).map_err(|e| Stop::With(Outcome::JournalFailed(e.to_string())))?;
        let known = self.head.seq;
        let head = self.store.head(&self.state.run).await?;
        // As in `refresh`: who spoke between the two is read when the next append is refused.
        self.head = Head { seq: self.state.seq, digest: head.digest };
        for entry in entries.iter().filter(|e| e.seq > known) {
            self.observer.entry(entry, &self.state);
        }
        staged.filter(|(_, fact)| *fact || planted("decide-once")).try_for_each(|((at, event), _)| self.stage_at(at, event, true))
    }
}
