//! A PostgreSQL server that the actions themselves stop and start: its data directory, put back as it was as often as
//! wanted, and everybody who runs one there ended with the test, however that dies.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use drplan::actions::AssetKind;
use serde_json::json;

use super::owned::free_port;
use super::postgres::{BIN, as_server, cluster_tar, psql, run};
use super::room::Room;
use super::stands::target;

/// Until a condition holds, but not for ever.
pub fn wait(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: it does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server.
pub struct Cluster {
    pub port: u16,
    _guard: Guard,
    dir: tempfile::TempDir,
}

/// Ends every server below a directory once nobody holds its other end.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Cluster {
    /// One made of the lab's own cluster, not running.
    pub fn make() -> Cluster {
        let dir = tempfile::Builder::new().prefix("drplan-pg-").tempdir_in("/dev/shm").unwrap();
        let at = dir.path().to_str().unwrap();
        if rustix::process::geteuid().is_root() {
            assert!(Command::new("chown").args(["postgres:", at]).status().unwrap().success());
        }
        assert!(Command::new("chmod").args(["a+rx", at]).status().unwrap().success());
        let end = "trap : HUP INT TERM; cat >/dev/null; for f in \"$0\"/*/postmaster.pid; do read -r p <\"$f\" && kill -QUIT \"$p\" && \
                   while kill -0 \"$p\"; do sleep 0.02; done; done 2>/dev/null";
        let guard = Command::new("sh").args(["-c", end, at]).stdin(Stdio::piped()).spawn().unwrap();
        let own = Cluster { port: free_port(), _guard: Guard(guard), dir };
        own.mkdir("data");
        run(&["chmod", "700", &own.path("data")], Stdio::null());
        run(&["tar", "-xf", "-", "-C", &own.path("data")], cluster_tar().into());
        own.configure(&format!("port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nwal_keep_size = 0\n", own.port));
        own
    }

    /// Where everything of it lies.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path there.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// A directory there, of the server's user.
    pub fn mkdir(&self, name: &str) {
        run(&["mkdir", &self.path(name)], Stdio::null());
    }

    /// Lines for its settings.
    pub fn configure(&self, lines: &str) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.path("data/postgresql.conf")).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
    }

    /// Starts it, and waits until it answers.
    pub fn launch(&self) {
        run(&[&format!("{BIN}/pg_ctl"), "start", "-sW", "-D", &self.path("data"), "-l", &self.path("data/log")], Stdio::null());
        self.answers();
    }

    fn answers(&self) {
        let start = Instant::now();
        while psql(self.port, "postgres", "select 1").is_none() {
            let log = || std::fs::read_to_string(self.path("data/log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(20), "it does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it, if it runs.
    pub fn halt(&self, mode: &str) {
        let argv = as_server(&[&format!("{BIN}/pg_ctl"), "stop", "-sw", "-D", &self.path("data"), "-m", mode]);
        let _ = Command::new(&argv[0]).args(&argv[1..]).stderr(Stdio::null()).status().unwrap();
    }

    /// Keeps all that lies there, to be put back by [`Cluster::again`].
    pub fn keep(&self) {
        let names = self.names();
        self.mkdir("pristine");
        for name in names {
            run(&["cp", "-a", &self.path(&name), &self.path("pristine/")], Stdio::null());
        }
    }

    fn names(&self) -> Vec<String> {
        let all = std::fs::read_dir(self.dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        all.filter(|name| !name.starts_with("run-")).collect()
    }

    /// Everything as it was kept, and the server runs.
    pub fn again(&self) {
        self.at_rest();
        self.halt("immediate");
        for name in self.names().into_iter().filter(|name| name != "pristine") {
            run(&["rm", "-rf", &self.path(&name)], Stdio::null());
        }
        for name in std::fs::read_dir(self.path("pristine")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()) {
            // Nobody writes to a backup.
            let how = if name == "bases" { "-al" } else { "-a" };
            run(&["cp", how, &self.path(&format!("pristine/{name}")), &self.path("")], Stdio::null());
        }
        self.launch();
    }

    /// Waits until nobody works beside the data directory any more, and until a server that was started answers.
    pub fn at_rest(&self) {
        let start = Instant::now();
        let ours = format!("COPY={}/", self.dir().display());
        let works = |pid: &std::path::Path| {
            std::fs::read(pid.join("environ")).is_ok_and(|env| env.windows(ours.len()).any(|part| part == ours.as_bytes()))
        };
        while std::fs::read_dir("/proc").unwrap().any(|entry| works(&entry.unwrap().path())) {
            assert!(start.elapsed() < Duration::from_secs(60), "somebody works beside the data directory and does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = std::fs::read_to_string(self.path("data/postmaster.pid")).unwrap_or_default();
        if pid.lines().next().is_some_and(|pid| Path::new("/proc").join(pid).exists()) {
            self.answers();
        }
    }

    /// A base backup.
    pub fn backup(&self, name: &str) {
        let port = self.port.to_string();
        let done = Command::new(format!("{BIN}/pg_basebackup"))
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "replicator", "-c", "fast", "-X", "none", "--no-sync", "-D", &self.path(name)])
            .env("PGPASSWORD", "lab-repl-pw")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        if rustix::process::geteuid().is_root() {
            assert!(Command::new("chown").args(["-R", "postgres:", &self.path(name)]).status().unwrap().success());
        }
    }

    /// A base backup of a server that has nothing to do with this one; it ended long ago.
    pub fn of_another(&self, name: &str) {
        let (data, port) = (self.path("another"), free_port().to_string());
        run(&[&format!("{BIN}/initdb"), "-D", &data, "-U", "dr", "-A", "trust", "--no-sync", "--wal-segsize=1"], Stdio::null());
        let options = format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off");
        run(&[&format!("{BIN}/pg_ctl"), "start", "-sw", "-D", &data, "-o", &options, "-l", &format!("{data}/log")], Stdio::null());
        let backup = ["-h", "127.0.0.1", "-p", &port, "-U", "dr", "-c", "fast", "-X", "none", "--no-sync", "-D", &self.path(name)];
        run(&[&[&format!("{BIN}/pg_basebackup") as &str], &backup[..]].concat(), Stdio::null());
        run(&["touch", "-d", "2026-01-01T00:00:00Z", &self.path(&format!("{name}/backup_manifest"))], Stdio::null());
    }

    /// What a statement says in `shop`.
    pub fn sql(&self, sql: &str) -> String {
        psql(self.port, "shop", sql).unwrap_or_else(|| panic!("{sql}"))
    }

    /// Its own clock, since no other one is compared with its commits.
    pub fn now(&self) -> String {
        self.sql("select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    }

    /// `HOST:PORT`.
    pub fn at(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A step on it, reached at an address.
    pub fn room(&self, action: &str, at: &str, password: &str) -> Room {
        let (host, port) = at.split_once(':').unwrap();
        let connect = json!({ "host": host, "port": port.parse::<u16>().unwrap(), "database": "shop", "user": "dr", "password": password });
        // The name of an attempt is taken once: each room is a run of its own.
        static ROOMS: AtomicU32 = AtomicU32::new(0);
        let dir = self.path(&format!("run-{}", ROOMS.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&dir).unwrap();
        Room::new(action, json!({}), Some(target(AssetKind::Postgres, connect)), &dir)
    }
}
