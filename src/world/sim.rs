//! A seeded outside in which time is virtual, replies get lost, calls land late, and the program dies wherever one
//! likes. It knows nothing of plans: commands set and read variables, names resolve from a table, pages show variables.
//!
//! Every call is touched twice, before it takes effect and after; [`Sim::die_at`] makes one of these touches the last
//! thing that the program under test does. What it had begun goes on without it: commands run to their end, requests
//! that were sent arrive.

use std::collections::{BTreeMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Answer, AwsSettings, Clock, Command, Dns, DnsChange, Exit, Fault, FileFacts, Files, Found, HealthCheck, Http, Letter, Mail, NameAnswer,
    NameServer, Names, Object, ObjectCopy, ObjectFacts, ObjectRef, Objects, PgTarget, Postgres, Process, RecordSet, Redis, RedisTarget,
    Request, Response, Rows, Secrets, Sqlite, WeightedSet, World,
};

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The target cannot be reached.
    Unreachable,
    /// The answer is no; nothing happens.
    Refused,
    /// The answer is no, and it happens all the same.
    Half,
    /// It happens, and the reply is lost.
    Lost,
    /// The reply is lost, and it happens after this many milliseconds.
    Late(u64),
}

/// Something that the world was made to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// When, in virtual milliseconds.
    pub at_ms: u64,
    /// By which attempt (`RUN/STEP/apply/1`) or, for names, by which comment.
    pub by: String,
    /// What.
    pub what: String,
}

/// The outside. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Sim {
    inner: Arc<Mutex<Inner>>,
    /// Whose hand this is, if several programs act.
    who: &'static str,
}

/// A call that changes something, as it was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// When, in virtual milliseconds.
    pub at_ms: u64,
    /// The program that began it.
    pub who: &'static str,
    /// For which attempt or comment.
    pub by: String,
}

struct Inner {
    now_ms: u64,
    /// How far the wall clock was set away from where it would be.
    set_ms: i64,
    seed: u64,
    order: u64,
    timers: BTreeMap<(u64, u64), Waker>,
    landings: BTreeMap<(u64, u64), Landing>,
    vars: BTreeMap<String, String>,
    records: BTreeMap<String, RecordSet>,
    processes: BTreeMap<String, Running>,
    deeds: Vec<Deed>,
    begun: Vec<Begun>,
    wrong: BTreeMap<String, VecDeque<Wrong>>,
    letters: Vec<Letter>,
    touches: u64,
    die_at: Vec<u64>,
    dead: bool,
    freeze_at: Option<u64>,
    frozen: bool,
    stopped: Vec<Waker>,
}

enum Landing {
    Argv { by: String, argv: Vec<String> },
    Names { by: String, changes: Vec<DnsChange> },
}

struct Running {
    ends_ms: u64,
    exit: Exit,
    lost: bool,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Sim {
    /// A world of its own, in which everything that is random follows from the seed.
    pub fn new(seed: u64) -> Sim {
        let inner = Inner {
            now_ms: 0,
            set_ms: 0,
            seed: seed.wrapping_mul(2).wrapping_add(1),
            order: 0,
            timers: BTreeMap::new(),
            landings: BTreeMap::new(),
            vars: BTreeMap::new(),
            records: BTreeMap::new(),
            processes: BTreeMap::new(),
            deeds: Vec::new(),
            begun: Vec::new(),
            letters: Vec::new(),
            wrong: BTreeMap::new(),
            touches: 0,
            die_at: Vec::new(),
            dead: false,
            freeze_at: None,
            frozen: false,
            stopped: Vec::new(),
        };
        Sim { inner: Arc::new(Mutex::new(inner)), who: "" }
    }

    /// The world that one of several programs sees: what it begins is told apart.
    pub fn world_of(&self, who: &'static str) -> World {
        Sim { inner: Arc::clone(&self.inner), who }.world()
    }

    /// The world that a program sees.
    pub fn world(&self) -> World {
        let sim = Arc::new(self.clone());
        World {
            clock: sim.clone(),
            process: sim.clone(),
            http: sim.clone(),
            objects: sim.clone(),
            dns: sim.clone(),
            names: sim.clone(),
            postgres: sim.clone(),
            redis: sim.clone(),
            sqlite: sim.clone(),
            files: sim.clone(),
            secrets: sim.clone(),
            mail: sim,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Calls that go wrong: the first of them for the first call whose attempt or comment contains `by`, and so on.
    pub fn go_wrong(&self, by: &str, wrongs: &[Wrong]) {
        self.lock().wrong.entry(by.to_owned()).or_default().extend(wrongs);
    }

    /// At which touches, counted from now on, the program dies; each death begins a new count.
    pub fn die_at(&self, touches: &[u64]) {
        let mut inner = self.lock();
        inner.die_at = touches.to_vec();
        inner.touches = 0;
    }

    /// At which touch, counted from the last death, the program is stopped (SIGSTOP) until [`Sim::thaw`]: what runs in
    /// [`Sim::stoppable`] does not go on.
    pub fn freeze_at(&self, touch: u64) {
        self.lock().freeze_at = Some(touch);
    }

    /// Lets a stopped program go on.
    pub fn thaw(&self) {
        let mut inner = self.lock();
        inner.frozen = false;
        let stopped = std::mem::take(&mut inner.stopped);
        drop(inner);
        stopped.into_iter().for_each(Waker::wake);
    }

    /// True while the program is stopped.
    pub fn frozen(&self) -> bool {
        self.lock().frozen
    }

    /// A program that can be stopped.
    pub async fn stoppable<T>(&self, program: impl Future<Output = T>) -> T {
        let mut program = pin!(program);
        std::future::poll_fn(|context| {
            let mut inner = self.lock();
            if inner.frozen {
                inner.stopped.push(context.waker().clone());
                return Poll::Pending;
            }
            drop(inner);
            program.as_mut().poll(context)
        })
        .await
    }

    /// Touches since the last death.
    pub fn touches(&self) -> u64 {
        self.lock().touches
    }

    /// Sets a variable from outside.
    pub fn set(&self, name: &str, value: &str) {
        self.lock().vars.insert(name.to_owned(), value.to_owned());
    }

    /// Somebody else changes a variable.
    pub fn meddle(&self, name: &str, value: &str) {
        let mut inner = self.lock();
        inner.vars.insert(name.to_owned(), value.to_owned());
        let deed = Deed { at_ms: inner.now_ms, by: "somebody".to_owned(), what: format!("set {name} {value}") };
        inner.deeds.push(deed);
    }

    /// Somebody else changes a record.
    pub fn meddle_record(&self, set: RecordSet) {
        let mut inner = self.lock();
        let deed = Deed { at_ms: inner.now_ms, by: "somebody".to_owned(), what: format!("{set:?}") };
        inner.deeds.push(deed);
        inner.records.insert(format!("{} {}", set.kind, set.name), set);
    }

    /// A variable.
    pub fn get(&self, name: &str) -> Option<String> {
        self.lock().vars.get(name).cloned()
    }

    /// Mail that was taken.
    pub fn letters(&self) -> Vec<Letter> {
        self.lock().letters.clone()
    }

    /// Sets a record from outside.
    pub fn set_record(&self, set: RecordSet) {
        self.lock().records.insert(format!("{} {}", set.kind, set.name), set);
    }

    /// Everything that was done to the world.
    pub fn deeds(&self) -> Vec<Deed> {
        self.lock().deeds.clone()
    }

    /// Everything that was begun, whether or not it came to something.
    pub fn begun(&self) -> Vec<Begun> {
        self.lock().begun.clone()
    }

    fn begins(&self, by: &str) {
        let mut inner = self.lock();
        let begun = Begun { at_ms: inner.now_ms, who: self.who, by: by.to_owned() };
        inner.begun.push(begun);
    }

    /// Variables and records, as they stand.
    pub fn picture(&self) -> Vec<String> {
        let inner = self.lock();
        let vars = inner.vars.iter().map(|(k, v)| format!("{k} = {v}"));
        let records = inner.records.iter().map(|(k, v)| format!("{k} -> {}", v.values.join(" ")));
        vars.chain(records).collect()
    }

    /// Lets time pass, and what is due land.
    pub fn pass(&self, ms: u64) {
        let mut inner = self.lock();
        let until = inner.now_ms + ms;
        inner.advance(until);
    }

    /// Somebody sets the wall clock, forward or back. No time passes.
    pub fn jump(&self, seconds: i64) {
        self.lock().set_ms += seconds * 1000;
    }

    /// Runs a future in virtual time. None if the program died on the way: the future is dropped where it stood.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        loop {
            let mut polls: u64 = 0;
            while flag.0.swap(false, Ordering::SeqCst) {
                polls += 1;
                assert!(polls < 10_000, "a program that goes round without end");
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                // The dead say nothing more.
                if std::mem::take(&mut self.lock().dead) {
                    self.lock().timers.clear();
                    return None;
                }
                if let Poll::Ready(value) = polled {
                    return Some(value);
                }
            }
            let mut inner = self.lock();
            let next = *inner.timers.keys().next().expect("a program that waits, waits for a time");
            inner.advance(next.0);
            let due: Vec<(u64, u64)> = inner.timers.range(..=(next.0, u64::MAX)).map(|(k, _)| *k).collect();
            let wakers: Vec<Waker> = due.iter().filter_map(|k| inner.timers.remove(k)).collect();
            drop(inner);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// A moment at which the program may die: before or after anything that others can see.
    pub async fn touch(&self) {
        let dies = {
            let mut inner = self.lock();
            inner.touches += 1;
            if inner.die_at.first() == Some(&inner.touches) {
                inner.die_at.remove(0);
                inner.touches = 0;
                inner.dead = true;
            }
            if inner.freeze_at.is_some_and(|at| at <= inner.touches) {
                inner.freeze_at = None;
                inner.frozen = true;
            }
            inner.dead
        };
        if dies {
            std::future::pending::<()>().await;
        }
        if self.frozen() {
            // A stopped program stops here and now.
            self.sleep(Duration::from_millis(1)).await;
        }
    }

    async fn latency(&self) {
        let ms = 5 + self.lock().random() % 45;
        self.sleep(Duration::from_millis(ms)).await;
    }

    fn send_off(&self, landing: Landing) {
        let mut inner = self.lock();
        let at = inner.now_ms + 2;
        inner.land_at(at, landing);
    }

    fn wrong(&self, by: &str) -> Option<Wrong> {
        let mut inner = self.lock();
        inner.wrong.iter_mut().find(|(key, _)| by.contains(key.as_str())).and_then(|(_, left)| left.pop_front())
    }
}

impl Inner {
    fn random(&mut self) -> u64 {
        // splitmix64
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn advance(&mut self, until: u64) {
        while let Some((&key, _)) = self.landings.iter().next().filter(|((at, _), _)| *at <= until) {
            let landing = self.landings.remove(&key).expect("it was just seen");
            self.now_ms = self.now_ms.max(key.0);
            self.land(landing);
        }
        self.now_ms = self.now_ms.max(until);
    }

    fn land_at(&mut self, at: u64, landing: Landing) {
        self.order += 1;
        self.landings.insert((at, self.order), landing);
    }

    fn land(&mut self, landing: Landing) -> bool {
        let (by, what, good) = match landing {
            Landing::Argv { by, argv } => {
                let good = self.command(&argv);
                (by, argv.join(" "), good)
            }
            Landing::Names { by, changes } => {
                let good = self.change(&changes);
                (by, format!("{changes:?}"), good)
            }
        };
        if good {
            self.deeds.push(Deed { at_ms: self.now_ms, by, what });
        }
        good
    }

    /// How long a command takes, and its words: `take MS …` about so long, `last MS …` exactly, any other a tenth of a second
    /// at most.
    fn pace(&mut self, argv: &[String]) -> (u64, Vec<String>) {
        match argv {
            [take, ms, rest @ ..] if take == "take" => {
                let about = ms.parse().unwrap_or(1).max(2);
                (about / 2 + self.random() % about, rest.to_vec())
            }
            [last, ms, rest @ ..] if last == "last" => (ms.parse().unwrap_or(1), rest.to_vec()),
            _ => (10 + self.random() % 90, argv.to_vec()),
        }
    }

    /// What a command would answer; none if it would fail.
    fn judge(&self, argv: &[String]) -> Option<String> {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["set", _, _] | ["add" | "del", _] | ["nop", ..] => Some(String::new()),
            ["get", name] => self.vars.get(*name).cloned(),
            ["is", name, value] => (self.vars.get(*name).map(String::as_str) == Some(*value)).then(String::new),
            _ => None,
        }
    }

    /// What a command does; false if it does nothing.
    fn command(&mut self, argv: &[String]) -> bool {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["set", name, value] => drop(self.vars.insert((*name).to_owned(), (*value).to_owned())),
            ["add", name] => {
                let n: u64 = self.vars.get(*name).and_then(|v| v.parse().ok()).unwrap_or(0);
                self.vars.insert((*name).to_owned(), (n + 1).to_string());
            }
            ["del", name] => drop(self.vars.remove(*name)),
            _ => return false,
        }
        true
    }

    fn change(&mut self, changes: &[DnsChange]) -> bool {
        let mut next = self.records.clone();
        for change in changes {
            let good = match change {
                DnsChange::Delete(set) => next.remove(&format!("{} {}", set.kind, set.name)).as_ref() == Some(set),
                DnsChange::Create(set) => next.insert(format!("{} {}", set.kind, set.name), set.clone()).is_none(),
                // There are none here, and `weighted` says so.
                DnsChange::DeleteWeighted(_) | DnsChange::CreateWeighted(_) => false,
            };
            if !good {
                return false;
            }
        }
        self.records = next;
        true
    }
}

struct Sleep {
    sim: Sim,
    until_ms: u64,
    key: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let sim = self.sim.clone();
        let mut inner = sim.lock();
        if let Some(key) = self.key.take() {
            inner.timers.remove(&key);
        }
        if inner.now_ms >= self.until_ms {
            return Poll::Ready(());
        }
        inner.order += 1;
        let key = (self.until_ms, inner.order);
        inner.timers.insert(key, context.waker().clone());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.sim.lock().timers.remove(&key);
        }
    }
}

#[async_trait]
impl Clock for Sim {
    fn now(&self) -> Timestamp {
        // An arbitrary day: 2026-01-01T00:00:00Z.
        let inner = self.lock();
        Timestamp::from_millisecond(1_767_225_600_000 + inner.now_ms as i64 + inner.set_ms).expect("virtual time stays in range")
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.lock().now_ms)
    }

    async fn sleep(&self, time: Duration) {
        let until_ms = self.lock().now_ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Sleep { sim: self.clone(), until_ms, key: None }.await;
    }
}

#[async_trait]
impl Process for Sim {
    async fn run(&self, command: &Command) -> Answer<Exit> {
        self.touch().await;
        let by = command.ticket.clone();
        if self.lock().processes.contains_key(&by) {
            return Err(Fault::refused("another driver took it over before it was started"));
        }
        if command.begin_by.is_some_and(|limit| limit < self.elapsed()) {
            return Err(Fault::refused("it was too late to start it"));
        }
        let wrong = self.wrong(&by);
        if wrong != Some(Wrong::Unreachable) {
            self.begins(&by);
        }
        let ends_ms = {
            let mut inner = self.lock();
            let (takes, argv) = inner.pace(&command.argv);
            let (now, ends) = (inner.now_ms, inner.now_ms + takes);
            let effect = if let Some(Wrong::Late(ms)) = wrong { now + ms } else { now + takes / 2 };
            let mut exit = match wrong {
                Some(Wrong::Unreachable) => return Err(Fault::unreachable("no such host in this simulation")),
                Some(Wrong::Refused) => Exit { code: Some(1), stderr: "refused".to_owned(), ..Exit::default() },
                _ => {
                    // Reading commands answer from the world as it is when they begin; others are judged as they begin.
                    let out = inner.judge(&argv);
                    Exit { code: Some(i32::from(out.is_none())), stdout: out.unwrap_or_default(), ..Exit::default() }
                }
            };
            let changes = matches!(argv.first().map(String::as_str), Some("set" | "add" | "del"));
            if exit.code == Some(0) && changes {
                if wrong == Some(Wrong::Half) {
                    exit.code = Some(1);
                }
                // Who is told to end at the limit takes five seconds for it.
                let killed = command.timeout_ms.map_or(u64::MAX, |ms| now + ms + 5_000);
                let effect = effect.min(killed);
                inner.land_at(effect, Landing::Argv { by: by.clone(), argv });
            }
            let lost = matches!(wrong, Some(Wrong::Lost | Wrong::Late(_)));
            let ends = if let Some(Wrong::Late(ms)) = wrong { now + ms + 1 } else { ends };
            inner.processes.insert(by.clone(), Running { ends_ms: ends, exit, lost });
            ends
        };
        if matches!(wrong, Some(Wrong::Lost | Wrong::Late(_))) {
            self.latency().await;
            self.touch().await;
            return Err(Fault::lost("the supervisor of the command is gone"));
        }
        let now = self.lock().now_ms;
        self.sleep(Duration::from_millis(ends_ms - now)).await;
        self.touch().await;
        let inner = self.lock();
        inner.processes.get(&by).map(|p| p.exit.clone()).ok_or_else(|| Fault::lost("the command vanished"))
    }

    async fn ask(&self, command: &Command) -> Answer<Exit> {
        self.touch().await;
        let (takes, argv) = self.lock().pace(&command.argv);
        self.sleep(Duration::from_millis(takes)).await;
        let out = self.lock().judge(&argv);
        Ok(Exit { code: Some(i32::from(out.is_none())), stdout: out.unwrap_or_default(), ..Exit::default() })
    }

    async fn find(&self, ticket: &str) -> Answer<Found> {
        self.touch().await;
        let inner = self.lock();
        Ok(match inner.processes.get(ticket) {
            None => Found::NeverStarted,
            Some(p) if p.ends_ms > inner.now_ms => Found::Running,
            Some(p) if p.lost => Found::Unknown { why: "its supervisor is gone".to_owned(), gone: true },
            Some(p) => Found::Ended(p.exit.clone()),
        })
    }

    fn which(&self, program: &str) -> Option<String> {
        Some(program.to_owned())
    }
}

#[async_trait]
impl Http for Sim {
    async fn send(&self, request: &Request) -> Answer<Response> {
        self.touch().await;
        self.latency().await;
        let name = request.url.rsplit('/').next().unwrap_or_default().to_owned();
        match self.wrong(&request.url) {
            Some(Wrong::Unreachable) => return Err(Fault::unreachable("connection refused")),
            Some(Wrong::Refused) => return Ok(Response { status: 503, ..Response::default() }),
            Some(_) => return Err(Fault::lost("the connection was cut")),
            None => {}
        }
        let found = self.get(&name);
        self.touch().await;
        Ok(match found {
            Some(value) => Response { status: 200, body: json!({ "value": value }).to_string(), ..Response::default() },
            None => Response { status: 404, ..Response::default() },
        })
    }
}

#[async_trait]
impl Mail for Sim {
    async fn send(&self, letter: &Letter) -> Answer<()> {
        self.touch().await;
        self.latency().await;
        match self.wrong(&letter.to) {
            Some(Wrong::Unreachable) => return Err(Fault::unreachable("connection refused")),
            Some(Wrong::Refused) => return Err(Fault::refused("code 550")),
            Some(_) => return Err(Fault::lost("the connection was cut")),
            None => self.lock().letters.push(letter.clone()),
        }
        self.touch().await;
        Ok(())
    }

    async fn reach(&self) -> Answer<()> {
        Ok(())
    }
}

#[async_trait]
impl Dns for Sim {
    async fn record(&self, _aws: &AwsSettings, _zone: &str, name: &str, kind: &str) -> Answer<Option<RecordSet>> {
        self.touch().await;
        self.latency().await;
        let found = self.lock().records.get(&format!("{kind} {name}")).cloned();
        self.touch().await;
        Ok(found)
    }

    async fn change(&self, _aws: &AwsSettings, _zone: &str, changes: &[DnsChange], comment: &str) -> Answer<String> {
        self.touch().await;
        let by = comment.to_owned();
        self.begins(&by);
        let landing = Landing::Names { by: by.clone(), changes: changes.to_vec() };
        let wrong = self.wrong(&by);
        match wrong {
            Some(Wrong::Unreachable) => return Err(Fault::unreachable("connection refused")),
            Some(Wrong::Refused | Wrong::Half) => return Err(Fault::refused("Throttling: Rate exceeded")),
            Some(Wrong::Late(ms)) => {
                let mut inner = self.lock();
                let at = inner.now_ms + ms;
                inner.land_at(at, landing);
            }
            Some(Wrong::Lost) | None => {
                // The request is on its way: it arrives whether or not its sender lives.
                self.send_off(landing);
                self.latency().await;
            }
        }
        self.touch().await;
        if wrong.is_some() {
            return Err(Fault::lost("the connection was cut before the reply"));
        }
        let expected: Option<RecordSet> = changes.iter().rev().find_map(|c| match c {
            DnsChange::Create(set) => Some(set.clone()),
            _ => None,
        });
        let there = expected.is_none_or(|set| self.lock().records.get(&format!("{} {}", set.kind, set.name)) == Some(&set));
        if there { Ok("/change/C1".to_owned()) } else { Err(Fault::refused("InvalidChangeBatch: the record is not what was said")) }
    }

    async fn in_sync(&self, _aws: &AwsSettings, _change: &str) -> Answer<bool> {
        self.touch().await;
        self.latency().await;
        Ok(!self.lock().random().is_multiple_of(3))
    }

    async fn weighted(&self, _aws: &AwsSettings, _zone: &str, _name: &str, _kind: &str) -> Answer<Vec<WeightedSet>> {
        absent("weighted record")
    }

    async fn health_check(&self, _aws: &AwsSettings, _id: &str) -> Answer<Option<HealthCheck>> {
        absent("health check")
    }

    async fn set_health_check(&self, _aws: &AwsSettings, _id: &str, _check: &HealthCheck) -> Answer<()> {
        absent("health check")
    }
}

fn absent<T>(what: &str) -> Answer<T> {
    Err(Fault::refused(format!("there is no {what} in this simulation")))
}

#[async_trait]
impl Objects for Sim {
    async fn list(&self, _aws: &AwsSettings, _bucket: &str, _prefix: &str) -> Answer<Vec<Object>> {
        absent("object store")
    }
    async fn facts(&self, _aws: &AwsSettings, _bucket: &str, _key: &str) -> Answer<Option<ObjectFacts>> {
        absent("object store")
    }
    async fn sha256(&self, _aws: &AwsSettings, _object: &ObjectRef) -> Answer<(u64, String)> {
        absent("object store")
    }
    async fn copy(&self, _aws: &AwsSettings, _copy: &ObjectCopy) -> Answer<()> {
        absent("object store")
    }
    async fn remove(&self, _aws: &AwsSettings, _object: &ObjectRef) -> Answer<()> {
        absent("object store")
    }
    async fn retain(&self, _aws: &AwsSettings, _object: &ObjectRef, _mode: &str, _until: Timestamp) -> Answer<()> {
        absent("object store")
    }
}

#[async_trait]
impl Names for Sim {
    async fn ask(&self, _server: &NameServer, _name: &str, _kind: &str, _timeout_ms: u64) -> Answer<NameAnswer> {
        absent("name server")
    }
    async fn update(
        &self,
        _server: &NameServer,
        _zone: &str,
        _old: Option<&RecordSet>,
        _new: Option<&RecordSet>,
        _timeout_ms: u64,
    ) -> Answer<()> {
        absent("name server")
    }
}

#[async_trait]
impl Postgres for Sim {
    async fn query(&self, _to: &PgTarget, _sql: &str, _params: &[Value], _read_only: bool, _timeout_ms: u64) -> Answer<Rows> {
        absent("PostgreSQL server")
    }
}

#[async_trait]
impl Redis for Sim {
    async fn command(&self, _to: &RedisTarget, _words: &[&str], _timeout_ms: u64) -> Answer<Value> {
        absent("Redis server")
    }
}

#[async_trait]
impl Sqlite for Sim {
    async fn query(&self, _path: &str, _sql: &str, _params: &[Value], _read_only: bool, _timeout_ms: u64) -> Answer<Rows> {
        absent("SQLite file")
    }
    async fn backup(&self, _path: &str, _to: &str) -> Answer<()> {
        absent("SQLite file")
    }
}

#[async_trait]
impl Files for Sim {
    async fn list(&self, _dir: &str) -> Answer<Vec<String>> {
        absent("directory")
    }
    async fn facts(&self, _path: &str) -> Answer<Option<FileFacts>> {
        absent("file")
    }
    async fn sha256(&self, _path: &str) -> Answer<Option<String>> {
        absent("file")
    }
    async fn copy(&self, _from: &str, _to: &str) -> Answer<()> {
        absent("file")
    }
    async fn rename(&self, _from: &str, _to: &str) -> Answer<()> {
        absent("file")
    }
    async fn remove(&self, _path: &str) -> Answer<()> {
        absent("file")
    }
    async fn read(&self, _path: &str) -> Answer<String> {
        absent("file")
    }
}

#[async_trait]
impl Secrets for Sim {
    async fn env(&self, name: &str) -> Answer<String> {
        Ok(format!("secret-{name}"))
    }
    async fn file(&self, path: &str) -> Answer<String> {
        Ok(format!("secret-{path}"))
    }
    async fn command(&self, argv: &[String]) -> Answer<String> {
        Ok(format!("secret-{}", argv.join("-")))
    }
}
