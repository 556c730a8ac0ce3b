//! The laws that every action keeps, each held against a real server and against what may go wrong on the way to it. An
//! action that a law cannot be asked of says why; `docs/CONFORMANCE.md` is the table of both.

use std::fmt::Debug;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use drplan::actions::{Before, Call, Effect, Probe, UndoKind};
use drplan::world::{Answer, Landed, readonly::behind_glass};
use serde_json::Value;

use super::between::{Break, Stranger, Way, stranger};
use super::room::Room;

/// One law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    Looks,
    Twice,
    There,
    Newer,
    Undo,
    Lost,
    TimeOut,
    Cancelled,
    Unreachable,
    Wrong,
    Garbage,
    Huge,
    Busy,
    Credentials,
    Absent,
    Secret,
    DryRun,
    ByHand,
}

/// Every law, its column, and what it says.
pub const LAWS: [(Law, &str, &str); 18] = [
    (Law::Looks, "looks", "reading the state, probing and previewing change nothing"),
    (Law::Twice, "twice", "a second attempt changes nothing more"),
    (Law::There, "there", "where it is so already, it passes and changes nothing"),
    (Law::Newer, "newer", "somebody's newer change is neither taken for its own nor taken back"),
    (Law::Undo, "undo", "its undo restores what was, and a second undo nothing more"),
    (Law::Lost, "lost", "a connection cut at any byte: no effect is ever called none, and the next attempt ends it"),
    (Law::TimeOut, "time-out", "a server that falls silent in the middle: within its time, and never a pass"),
    (Law::Cancelled, "cancelled", "given up at any moment: the probe tells the truth, and the next attempt ends it"),
    (Law::Unreachable, "unreachable", "nobody there: unreachable, surely without effect, and no probe answers"),
    (Law::Wrong, "wrong server", "another server at the address: never a pass, and no probe answers"),
    (Law::Garbage, "garbage", "an answer of no protocol: never a pass, and no probe answers"),
    (Law::Huge, "huge", "an answer without end: never a pass, in bounded memory, and no probe answers"),
    (Law::Busy, "busy", "a server that says to slow down: never a pass"),
    (Law::Credentials, "credentials", "refused credentials: a refusal, surely without effect"),
    (Law::Absent, "absent", "what it should act on or look at is not there: never a pass"),
    (Law::Secret, "secret", "no secret in what it says, keeps or is refused with"),
    (Law::DryRun, "dry run", "behind the glass of a dry run it changes nothing"),
    (Law::ByHand, "by hand", "what a person types does the same, and takes it back the same"),
];

/// Longest that an action with a time limit of [`SHORT`] may take to come back.
const PATIENCE: Duration = Duration::from_secs(20);
/// The time limit of an attempt at a server that does not answer.
const SHORT: Duration = Duration::from_millis(500);
/// The time limit of an attempt whose way is cut, which suffices for most.
const LIMIT: Duration = Duration::from_secs(3);
/// Memory that an answer without end may cost, in kB.
const HUGE_KB: u64 = 200 << 10;

/// How many times an attempt that does not go its whole way is tried, spread over that way.
struct Tries {
    /// Cuts of replies.
    replies: u64,
    /// Cuts of requests.
    requests: u64,
    /// Servers that fall silent.
    silences: u64,
    /// Moments at which it is given up.
    moments: u32,
}

impl Tries {
    fn of(stand: &dyn Stand) -> Tries {
        match (many(), stand.limit() > LIMIT) {
            (true, false) => Tries { replies: 12, requests: 8, silences: 3, moments: 6 },
            (true, true) | (false, false) => Tries { replies: 3, requests: 2, silences: 2, moments: 2 },
            (false, true) => Tries { replies: 2, requests: 1, silences: 1, moments: 2 },
        }
    }
}

/// Whether all is tried that can be, and not a few of it: DRPLAN_CONFORMANCE=many.
pub fn many() -> bool {
    std::env::var("DRPLAN_CONFORMANCE").as_deref() == Ok("many")
}

/// An action beside a real server of its own.
#[async_trait]
pub trait Stand: Sync {
    /// Its action.
    fn action(&self) -> &'static str;
    /// Its row in the table: the action's name, and what of it is meant where it does two things.
    fn row(&self) -> &'static str {
        self.action()
    }
    /// Laws that cannot be asked of it, and why: one sentence, lower case.
    fn cannot(&self) -> Vec<(Law, &'static str)>;
    /// A step of it that can be done (or, if it reads, that passes); its server is at this address (`HOST:PORT`).
    fn room(&self, at: &str) -> Room;
    /// Where its server really is.
    fn server(&self) -> String;
    /// All that it could change, asked by other means than its own; the same text for the same state.
    fn state(&self) -> String;
    /// Makes the state what it was before the first attempt.
    fn reset(&self);
    /// Somebody else changes what it changes.
    fn meddle(&self) {
        panic!("{}: nobody can change it", self.action());
    }
    /// The same step with credentials that the server does not know.
    fn refused(&self) -> Room {
        panic!("{}: no credentials", self.action());
    }
    /// The same step on something that is not there.
    fn absent(&self) -> Room {
        panic!("{}: nothing can be absent", self.action());
    }
    /// The secret that its rooms are given.
    fn secret(&self) -> String {
        panic!("{}: no secret", self.action());
    }
    /// The time limit of an attempt whose way is cut; where that is longer, fewer are tried.
    fn limit(&self) -> Duration {
        LIMIT
    }
    /// Fields and target as a plan has them, with `${…}` for secrets, and the variables that stand for these.
    fn typed(&self) -> (Room, Vec<(String, String)>) {
        (self.room(&self.server()), Vec::new())
    }
}

/// Holds a stand against every law, and the table against what was found.
pub async fn hold(stand: &dyn Stand) {
    let name = stand.action();
    let cannot = stand.cannot();
    let mut cells = Vec::new();
    for (law, _, _) in LAWS {
        if let Some((_, why)) = cannot.iter().find(|(l, _)| *l == law) {
            cells.push(Err(*why));
            continue;
        }
        let began = Instant::now();
        stand.reset();
        let court = Court { stand, law, start: stand.state() };
        court.hear().await;
        cells.push(Ok(()));
        println!("{name}: {law:?} holds ({} ms)", began.elapsed().as_millis());
    }
    stand.reset();
    super::table::row(stand.row(), &cells);
}

/// One law against one stand.
struct Court<'a> {
    stand: &'a dyn Stand,
    law: Law,
    /// The state before anything.
    start: String,
}

impl Court<'_> {
    async fn hear(&self) {
        match self.law {
            Law::Looks => self.looks().await,
            Law::Twice => self.twice().await,
            Law::There => self.there().await,
            Law::Newer => self.newer().await,
            Law::Undo => self.undo().await,
            Law::Lost => self.lost().await,
            Law::TimeOut => self.time_out().await,
            Law::Cancelled => self.cancelled().await,
            Law::Unreachable => self.strange(Stranger::Nobody).await,
            Law::Wrong => self.strange(Stranger::Page).await,
            Law::Garbage => self.strange(Stranger::Noise).await,
            Law::Huge => self.huge().await,
            Law::Busy => self.strange(Stranger::Busy).await,
            Law::Credentials => self.credentials().await,
            Law::Absent => self.absent().await,
            Law::Secret => self.secret().await,
            Law::DryRun => self.dry_run().await,
            Law::ByHand => self.by_hand().await,
        }
    }

    #[track_caller]
    fn is(&self, good: bool, what: impl FnOnce() -> String) {
        assert!(good, "{} breaks the law `{:?}`: {}", self.stand.action(), self.law, what());
    }

    fn room(&self) -> Room {
        self.stand.room(&self.stand.server())
    }

    fn reads(&self) -> bool {
        self.room().action.effect == Effect::Read
    }

    /// What is only an effect when nobody repeats it is not asked to be repeated.
    fn repeats(&self) -> bool {
        !matches!(self.room().action.effect, Effect::Once | Effect::Manual)
    }

    /// The state once it no longer changes: what was sent may still be on its way.
    fn settled(&self) -> String {
        let mut last = self.stand.state();
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(60));
            let now = self.stand.state();
            if now == last {
                return now;
            }
            last = now;
        }
        panic!("{}: its state does not come to rest", self.stand.action());
    }

    #[track_caller]
    fn unchanged(&self, after: &str) {
        let now = self.settled();
        self.is(now == self.start, || format!("{after} changed the state\nfrom {}\nto   {now}", self.start));
    }

    /// Applies as a first attempt would, and gives the state before and the state that it left.
    async fn done(&self, room: &Room) -> (Before, String) {
        let before = room.before().await;
        self.is(before.is_ok(), || format!("the state before cannot be read: {before:?}"));
        let before = before.expect("just looked");
        let done = room.apply(&before).await;
        self.is(done.is_ok(), || format!("it does not pass: {done:?}"));
        let state = self.settled();
        self.is(self.reads() == (state == self.start), || format!("after it the state is {state}"));
        (before, state)
    }

    async fn looks(&self) {
        let room = self.room();
        let before = room.before().await.expect("the state before can be read");
        let probe = room.probe(&before).await;
        self.is(probe.is_ok(), || format!("{probe:?}"));
        let preview = room.preview(&before).await;
        self.is(preview.as_ref().is_ok_and(|p| self.reads() || p.iter().all(|c| c.old != c.new)), || format!("{preview:?}"));
        let written = room.written();
        self.is(written.is_empty(), || format!("looking wrote {written:?}"));
        self.unchanged("looking");
    }

    async fn twice(&self) {
        let room = self.room();
        let (before, state) = self.done(&room).await;
        let probe = room.probe(&before).await;
        self.is(self.reads() || matches!(probe, Ok(Probe::There(_))), || format!("after it the probe says {probe:?}"));
        room.written();
        let again = room.apply(&before).await;
        self.is(again.is_ok(), || format!("the second attempt: {again:?}"));
        self.is(self.settled() == state, || "the second attempt changed the state".to_owned());
    }

    async fn there(&self) {
        let (_, state) = self.done(&self.room()).await;
        let room = self.room();
        let before = room.before().await.expect("the state before can be read");
        let done = room.apply(&before).await;
        self.is(done.is_ok(), || format!("where it is so already: {done:?}"));
        let now = self.settled();
        self.is(now == state, || format!("where it was so already it made {now} of {state}"));
    }

    async fn newer(&self) {
        let room = self.room();
        let (before, state) = self.done(&room).await;
        self.stand.meddle();
        let theirs = self.settled();
        self.is(theirs != state, || "the stand's meddling changed nothing".to_owned());
        let probe = room.probe(&before).await;
        self.is(!matches!(probe, Ok(Probe::There(_))), || format!("the probe takes it for its own: {probe:?}"));
        if room.action.undo == UndoKind::Auto {
            let undone = room.undo(&before).await;
            self.is(matches!(undone, Ok(Probe::Other(_) | Probe::CannotTell(_)) | Err(_)), || format!("its undo says {undone:?}"));
        }
        let now = self.settled();
        self.is(now == theirs, || format!("its undo made {now} of {theirs}"));
    }

    async fn undo(&self) {
        let room = self.room();
        let (before, _) = self.done(&room).await;
        for time in ["its undo", "a second undo"] {
            let undone = room.undo(&before).await;
            self.is(undone == Ok(Probe::NotThere), || format!("{time} says {undone:?}"));
            self.unchanged(time);
        }
        let probe = room.probe(&before).await;
        self.is(probe == Ok(Probe::NotThere), || format!("afterwards the probe says {probe:?}"));
    }

    /// Cuts of replies and of requests, spread over all that goes over the wire.
    async fn lost(&self) {
        let way = Way::to(&self.stand.server(), Break::Never);
        let (_, end) = self.done(&self.stand.room(&way.at)).await;
        let (up, down) = way.passed();
        let spread = |whole: u64, parts: u64| (0..parts).map(move |i| whole * i / parts);
        let Tries { replies, requests, .. } = Tries::of(self.stand);
        let replies = spread(down, replies - 1).chain([down.saturating_sub(1)]);
        let cuts = replies.map(Break::Down).chain(spread(up, requests).map(Break::Up));
        for cut in cuts {
            self.stand.reset();
            let direct = self.room();
            let before = direct.before().await.expect("the state before can be read");
            let way = Way::to(&self.stand.server(), cut);
            let mut room = self.stand.room(&way.at);
            room.timeout = self.stand.limit();
            let done = room.apply(&before).await;
            self.left(&format!("{cut:?}"), &direct, &before, done.map(drop), &end).await;
        }
    }

    async fn time_out(&self) {
        let way = Way::to(&self.stand.server(), Break::Never);
        let (_, end) = self.done(&self.stand.room(&way.at)).await;
        let (_, down) = way.passed();
        let parts = Tries::of(self.stand).silences;
        for part in 0..parts {
            let mut whole = down;
            loop {
                self.stand.reset();
                let direct = self.room();
                let before = direct.before().await.expect("the state before can be read");
                let cut = whole * part / parts;
                let way = Way::to(&self.stand.server(), Break::Mute(cut));
                let mut room = self.stand.room(&way.at);
                room.timeout = SHORT;
                let done = tokio::time::timeout(PATIENCE, room.apply(&before)).await;
                self.is(done.is_ok(), || format!("with a limit of {SHORT:?} it still waits after {PATIENCE:?}"));
                let done = done.expect("just looked");
                let (_, heard) = way.passed();
                // One look more or less, and all was said before the silence: then it comes sooner.
                if done.is_ok() && heard <= cut {
                    whole = heard;
                    continue;
                }
                self.is(done.is_err(), || format!("it passed after {part}/{parts} of the answers: {done:?}"));
                self.left(&format!("silent after {part}/{parts}"), &direct, &before, done.map(drop), &end).await;
                break;
            }
        }
    }

    /// What an attempt that did not go its whole way may leave behind.
    async fn left(&self, how: &str, direct: &Room, before: &Before, done: Answer<()>, end: &str) {
        let state = self.settled();
        match &done {
            Ok(()) => self.is(state == end, || format!("{how}: it passed, and the state is {state}")),
            Err(fault) => self.is(fault.landed == Landed::Maybe || state == self.start, || {
                format!("{how}: it says that surely nothing happened ({fault}), and the state is {state}")
            }),
        }
        if self.reads() {
            return self.is(state == self.start, || format!("{how}: a look changed the state to {state}"));
        }
        let probe = direct.probe(before).await;
        match &probe {
            // What was under way may have landed since the state was read.
            Ok(Probe::There(_)) => {
                let now = self.settled();
                self.is(now == end, || format!("{how}: the probe says that it is there; the state is {now}"));
            }
            Ok(Probe::NotThere) => {
                self.is(state == self.start, || format!("{how}: the probe says that it is not there; the state is {state}"));
            }
            Ok(Probe::Other(_) | Probe::CannotTell(_)) | Err(_) => {}
        }
        if self.repeats() {
            let again = direct.apply(before).await;
            self.is(again.is_ok(), || format!("{how}: after {done:?} the next attempt says {again:?}"));
            let now = self.settled();
            self.is(now == end, || format!("{how}: the next attempt left {now} and not {end}"));
        }
    }

    async fn cancelled(&self) {
        let began = Instant::now();
        let (_, end) = self.done(&self.room()).await;
        let whole = began.elapsed();
        let parts = Tries::of(self.stand).moments;
        for part in 0..parts {
            self.stand.reset();
            let direct = self.room();
            let before = direct.before().await.expect("the state before can be read");
            let room = self.room();
            let done = tokio::time::timeout(whole * part / parts, room.apply(&before)).await;
            drop(room);
            let done = match done {
                Ok(done) => done.map(drop),
                Err(_) => Err(drplan::world::Fault::lost("given up")),
            };
            self.left(&format!("given up after {part}/{parts}"), &direct, &before, done, &end).await;
        }
    }

    async fn strange(&self, who: Stranger) {
        let before = self.room().before().await.expect("the state before can be read");
        let mut room = self.stand.room(&stranger(who));
        room.timeout = PATIENCE / 4;
        self.no_answer(&room, &before, who == Stranger::Nobody).await;
        self.unchanged("it");
    }

    async fn no_answer(&self, room: &Room, before: &Before, nobody: bool) {
        let done = tokio::time::timeout(PATIENCE, room.apply(before)).await;
        self.is(matches!(&done, Ok(Err(_))), || format!("it says {done:?}"));
        let fault = done.expect("just looked").expect_err("just looked");
        self.is(!nobody || fault.unreachable && fault.landed == Landed::No, || format!("it does not say that nobody is there: {fault:?}"));
        if self.reads() {
            return;
        }
        let found = room.before().await;
        // Of some nobody can read one, and none is said.
        self.is(matches!(found, Err(_) | Ok(Value::Null)), || format!("the state before is said to be {found:?}"));
        let probe = room.probe(before).await;
        self.is(matches!(probe, Err(_) | Ok(Probe::CannotTell(_))), || format!("the probe says {probe:?}"));
    }

    async fn huge(&self) {
        let most = resident_kb();
        self.strange(Stranger::Endless).await;
        let grown = resident_kb().saturating_sub(most);
        self.is(grown < HUGE_KB, || format!("{grown} kB more are in use"));
    }

    async fn credentials(&self) {
        let before = self.room().before().await.expect("the state before can be read");
        let room = self.stand.refused();
        let done = room.apply(&before).await;
        self.is(done.as_ref().is_err_and(|f| f.landed == Landed::No), || format!("it says {done:?}"));
        self.unchanged("it");
    }

    async fn absent(&self) {
        let room = self.stand.absent();
        let start = self.stand.state();
        let done = match room.before().await {
            Ok(before) => room.apply(&before).await,
            Err(fault) => Err(fault),
        };
        self.is(done.as_ref().is_err_and(|f| f.landed == Landed::No), || format!("it says {done:?}"));
        let now = self.settled();
        self.is(now == start, || format!("it made {now} of {start}"));
    }

    /// Everything that it says on a good way, on a cut one and with a stranger.
    async fn secret(&self) {
        let secret = self.stand.secret();
        let mut said = Vec::new();
        let way = Way::to(&self.stand.server(), Break::Down(40));
        let places = [self.stand.server(), way.at.clone(), stranger(Stranger::Nobody), stranger(Stranger::Page)];
        for at in places {
            let mut room = self.stand.room(&at);
            room.secrets = vec![secret.clone()];
            room.timeout = PATIENCE / 4;
            let before = room.before().await;
            said.push(words(&before));
            let before = before.unwrap_or_default();
            said.push(words(&room.preview(&before).await));
            said.push(words(&room.apply(&before).await));
            said.push(words(&room.probe(&before).await));
            said.push(words(&room.undo(&before).await));
        }
        let mut refused = self.stand.room(&self.stand.server());
        refused.secrets = vec![secret.clone()];
        let call = Call { step: "step", with: &refused.with, target: refused.target.as_ref() };
        said.push((refused.action.sentence)(&call));
        for text in said {
            self.is(!text.contains(&secret), || format!("it says {text}"));
        }
    }

    async fn dry_run(&self) {
        let mut room = self.room();
        room.world = behind_glass(&room.world, false);
        let before = room.before().await;
        self.is(before.is_ok(), || format!("the state before cannot be read in a dry run: {before:?}"));
        let before = before.expect("just looked");
        let done = room.apply(&before).await;
        self.is(done.is_ok() == self.reads(), || format!("it says {done:?}"));
        self.is(done.is_ok() || done.as_ref().is_err_and(|f| f.landed == Landed::No), || format!("it says {done:?}"));
        self.unchanged("a dry run");
    }

    async fn by_hand(&self) {
        let (_, end) = self.done(&self.room()).await;
        self.stand.reset();
        let (room, variables) = self.stand.typed();
        let dir = tempfile::tempdir().unwrap();
        let call = Call { step: "step", with: &room.with, target: room.target.as_ref() };
        let type_in = |blocks: Vec<drplan::actions::Manual>| {
            self.is(!blocks.is_empty(), || "there is nothing to type".to_owned());
            for block in blocks {
                let done = Command::new("sh")
                    .args(["-ec", &block.script])
                    .current_dir(if Path::new(&room.dir).is_dir() { Path::new(&room.dir) } else { dir.path() })
                    .envs(variables.iter().cloned())
                    .output()
                    .unwrap();
                let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
                self.is(done.status.success(), || format!("typed:\n{}\n{said}", block.script));
            }
        };
        type_in((room.action.commands)(&call));
        if self.reads() {
            return self.unchanged("what is typed");
        }
        let typed = self.settled();
        self.is(typed == end, || format!("what is typed leaves {typed}\nand not {end}"));
        if room.action.undo == UndoKind::Auto {
            type_in((room.action.undo_commands)(&call));
            self.unchanged("what is typed and taken back");
        }
    }
}

fn words<T: Debug>(answer: &Answer<T>) -> String {
    format!("{answer:?}")
}

/// Resident memory of this process.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
