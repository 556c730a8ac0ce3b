//! The real outside, one file a service. Only here is the environment read, the time asked, the network used.

#[cfg(not(all(feature = "aws", feature = "postgres")))]
mod absent;
mod alive;
pub mod aside;
#[cfg(feature = "aws")]
mod aws;
mod child;
mod clock;
mod exits;
mod files;
mod host;
mod http;
mod mail;
mod names;
pub mod paper;
#[cfg(feature = "postgres")]
mod pg_text;
#[cfg(feature = "postgres")]
mod postgres;
mod process;
mod redis;
mod replace;
#[cfg(feature = "aws")]
mod route53;
#[cfg(feature = "aws")]
mod s3;
mod secrets;
mod sqlite;
pub mod supervisor;
mod watched;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use mail::Smtp;
pub use replace::replace;
pub use watched::{Stamp, Watch};

use super::{Dns, Fault, Objects, World};

pub use host::{git_commit, now, salt, state_home, typed_lines, user_name};

/// What the real outside must be told.
#[derive(Debug, Clone)]
pub struct RealSettings {
    /// Where the exits of this run's commands are left, beside its journal; see [`begin`]. Each run has its own, and a
    /// later driver of the run on this machine is given the same.
    pub state: PathBuf,
    /// The run's name, if what a run that it adopted left is found beside it; then `state` ends in it.
    pub run: Option<String>,
    /// The plan's directory. In it stand relative paths of secrets and programs, and commands without a directory run.
    pub plan_dir: PathBuf,
    /// Another address than AWS's own, where the plan names none.
    pub aws_endpoint: Option<String>,
    /// Through which server mail is sent; none: mail is refused.
    pub smtp: Option<Smtp>,
    /// The program whose hidden `supervise` is started; `/proc/self/exe`, this one, but in tests.
    pub program: PathBuf,
}

impl RealSettings {
    /// Settings of a run with this program as supervisor and AWS where it is.
    pub fn new(state: impl Into<PathBuf>, plan_dir: impl Into<PathBuf>) -> Self {
        // Not its path: that may hold another version by now.
        let program = PathBuf::from("/proc/self/exe");
        RealSettings { state: state.into(), run: None, plan_dir: plan_dir.into(), aws_endpoint: None, smtp: None, program }
    }
}

/// Makes the place where a new run's commands leave their ends, before the run's first event; never when it is resumed.
/// A later driver that finds the place knows what is not in it was never started; one that misses it knows nothing.
pub fn begin(state: &Path) -> Result<(), Fault> {
    exits::Exits::open(state).map(drop).map_err(|e| Fault::refused(format!("cannot make {}: {e}", state.display())))
}

/// The outside as it is. Nothing is touched, made or started before the first call.
pub fn world(settings: RealSettings) -> World {
    let known = secrets::Known::default();
    let (objects, dns) = aws_services(settings.aws_endpoint);
    World {
        clock: Arc::new(clock::Real),
        process: Arc::new(process::Real {
            state: settings.state,
            run: settings.run,
            plan_dir: settings.plan_dir.clone(),
            program: settings.program,
            supervisor: Default::default(),
            hidden: Default::default(),
            known: known.clone(),
        }),
        http: Arc::new(http::Real),
        objects,
        dns,
        names: Arc::new(names::Real),
        #[cfg(feature = "postgres")]
        postgres: Arc::new(postgres::Real),
        #[cfg(not(feature = "postgres"))]
        postgres: Arc::new(absent::Absent("postgres")),
        redis: Arc::new(redis::Real),
        sqlite: Arc::new(sqlite::Real),
        files: Arc::new(files::Real),
        secrets: Arc::new(secrets::Real { plan_dir: settings.plan_dir, known }),
        mail: Arc::new(mail::Real { server: settings.smtp }),
    }
}

#[cfg(feature = "aws")]
fn aws_services(endpoint: Option<String>) -> (Arc<dyn Objects>, Arc<dyn Dns>) {
    let aws = Arc::new(aws::Aws::new(endpoint));
    (Arc::new(s3::Real { aws: aws.clone() }), Arc::new(route53::Real { aws }))
}

#[cfg(not(feature = "aws"))]
fn aws_services(_endpoint: Option<String>) -> (Arc<dyn Objects>, Arc<dyn Dns>) {
    (Arc::new(absent::Absent("aws")), Arc::new(absent::Absent("aws")))
}

/// The optional services, by Cargo feature, and whether this build holds them.
pub fn features() -> &'static [(&'static str, bool)] {
    &[("aws", cfg!(feature = "aws")), ("postgres", cfg!(feature = "postgres"))]
}

/// The calling thread steps back where others want the processor: what people read may come a moment later, what is
/// driven may not.
fn humble() {
    // It is a courtesy: a system that does not grant it is none the worse.
    let _ = rustix::process::nice(10);
}

/// This machine's name, as its journal entries give it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The most rows that one statement may give.
const ROWS_MAX: usize = 100_000;

/// Waits for blocking work on a thread of its own, so that the driver's loop goes on meanwhile.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(e) => Err(Fault::lost(format!("the work on a file was cut short: {e}"))),
    }
}

/// The directory that a path stands in; `.` for a bare name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes what was done in a directory outlast a power cut: a name that was created, renamed or removed.
fn sync_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

/// A name beside a path that nothing else has, for what is renamed to it once it is whole.
fn temporary_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    parent(path).join(format!(".{name}.drplan-{}-{n}", std::process::id()))
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The innermost cause of an error, which says most.
fn innermost(e: &dyn Error) -> String {
    let mut cause = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
