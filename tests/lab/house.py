"""What the labs of the plans are built of: real servers of one machine, each on a port of its own, watched, and stopped
with everything that they started. It knows no plan.

A plan's lab is a Python file beside it, `plans/NAME/lab.py`, with a class Lab(House): `up`, one `lose_SCENARIO` for each
thing that can be lost, `judge` (what must hold after a recovery: it says what does not) and `facts` (what must be the
same whichever way one got there). `tests/lab/house NAME VERB DIR` runs it.
"""
import fcntl
import inspect
import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("DRPLAN_LAB_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drplan-lab")
PG = "/usr/lib/postgresql/15/bin"
PYTHON = sys.executable
#: Below the ports that systems give to clients.
PORTS = range(11000, 19000)
PASSWORD = "lab-password-5e1f"
#: What everything that a lab started has in its environment, and so everything that these started in their turn.
MARK = "DRPLAN_HOUSE"


class Wrong(Exception):
    """Something that a person should read, without the way that led to it."""


def until(what, test, seconds=30):
    """Waits until `test` gives something true, and gives it."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            if found := test():
                return found
        except (OSError, subprocess.SubprocessError, Wrong, ValueError, KeyError) as why:
            last = why
        time.sleep(0.03)
    raise Wrong(f"{what}: not within {seconds} s{f' ({last})' if last else ''}")


def run(argv, check=True, **more):
    """A command's standard output; what it said if it fails."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **more)
    if check and done.returncode:
        raise Wrong(f"{shlex.join(map(str, argv))}: exit {done.returncode}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout.strip()


def get(url, body=None, method=None, headers=None, timeout=5):
    """Status and text of an answer, whatever the status."""
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode(errors="replace")


def started_at(pid):
    """The start time that tells a process from a later one with the same number; none if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


class House:
    """A directory with servers in it."""

    #: Parameters of the plan that are others here; `up` fills it.
    params = {}

    def __init__(self, directory):
        self.dir = Path(directory).absolute()
        self.state = {"ports": {}, "pids": {}, "env": {}, "params": {}}
        if self.file("house.json").exists():
            self.state = json.loads(self.file("house.json").read_text())

    def file(self, name):
        return self.dir / name

    def keep(self):
        new = self.file("house.json.new")
        new.write_text(json.dumps(self.state, indent=1))
        new.rename(self.file("house.json"))

    # ---- ports and variables

    def port(self, name):
        """The port of a server, chosen once; no other lab has it."""
        if name not in self.state["ports"]:
            claims = CACHE / "ports"
            claims.mkdir(parents=True, exist_ok=True)
            with open(claims / "lock", "w", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for port in PORTS:
                    claim = claims / str(port)
                    if claim.exists() and Path(claim.read_text() or "/nonexistent").is_dir():
                        continue
                    with socket.socket() as probe:
                        try:
                            probe.bind(("127.0.0.1", port))
                        except OSError:
                            continue
                    claim.write_text(str(self.dir))
                    break
                else:
                    raise Wrong(f"no free port; stale claims lie in {claims}")
            self.state["ports"][name] = port
            self.keep()
        return self.state["ports"][name]

    def at(self, name):
        return f"127.0.0.1:{self.port(name)}"

    def url(self, name):
        return f"http://{self.at(name)}"

    def env(self, **values):
        """Variables for whoever works in this lab, `drplan` too."""
        self.state["env"].update({k: str(v) for k, v in values.items()})
        self.keep()

    def environ(self):
        return {**os.environ, **self.state["env"], "PATH": f"{self.dir}/bin:{CACHE}/bin:{PG}:{os.environ['PATH']}"}

    def param(self, **values):
        """Parameters of the plan as they are here."""
        self.state["params"].update(values)
        self.keep()
        lines = (f"{name}: {json.dumps(value)}\n" for name, value in self.state["params"].items())
        self.file("params.yaml").write_text("".join(lines))

    # ---- processes

    def start(self, name, argv, user=None, env=None, cwd=None, stdin=None):
        """Starts a server in a session of its own; its log is `log/NAME.log`."""
        if self.pid(name):
            raise Wrong(f"{name} runs already")
        (self.dir / "log").mkdir(exist_ok=True)
        who = pwd.getpwnam(user) if user and os.geteuid() == 0 else None
        more = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []} if who else {}
        with open(self.dir / "log" / f"{name}.log", "ab") as log:
            made = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                    cwd=cwd or self.dir, env={**self.environ(), MARK: str(self.dir), **{k: str(v) for k, v in (env or {}).items()}},
                                    **more)
        self.state["pids"][name] = [made.pid, started_at(made.pid)]
        self.keep()
        return made.pid

    def pid(self, name):
        pid, at = self.state["pids"].get(name, (0, ""))
        return pid if pid and at and started_at(pid) == at else None

    def session(self, name):
        """Everything that runs in the session of a server, whether or not the server itself is still there."""
        leader = self.state["pids"].get(name, (0, ""))[0]
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if leader and int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(stat.parent.name))
        return found

    def kill(self, name):
        """kill -9 of a server and all that it started."""
        pid = self.pid(name)
        if pid:
            os.kill(pid, signal.SIGSTOP)  # so that it makes no other while its children die
        for one in self.session(name):
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass
        until(f"{name} dies", lambda: not self.session(name))

    def stop(self, name, sig=signal.SIGTERM, seconds=15):
        """Ends a server as it wants to be ended, and by force after a while."""
        if pid := self.pid(name):
            os.kill(pid, sig)
            try:
                until(f"{name} ends", lambda: not self.pid(name), seconds)
            except Wrong:
                pass
        self.kill(name)

    def ready(self, name, test, seconds=30):
        """Waits until a server is ready; its log is shown if it never is."""
        def alive():
            if not self.pid(name):
                raise Wrong(f"{name} ended")
            return test()
        try:
            return until(f"{name} is ready", alive, seconds)
        except Wrong as why:
            raise Wrong(f"{why}\n--- log/{name}.log\n{self.log(name)}") from None

    def log(self, name, lines=25):
        try:
            return "\n".join((self.dir / "log" / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    # ---- PostgreSQL

    def postgres(self, name, *conf, database="app"):
        """A cluster that runs: superuser `dr`, owner `app`, both with PASSWORD."""
        data = self.file(f"pg/{name}")
        self.pg_directory()
        with open(template(), "rb") as tar:
            run_pg(["mkdir", "-m", "700", data])
            run_pg(["tar", "-xf", "-", "-C", data], stdin=tar)
        self.pg_start(name, *conf)
        self.sql(name, f"create database {database} owner app", database="postgres")

    def pg_directory(self):
        top = self.file("pg")
        if not top.exists():
            top.mkdir()
            os.chmod(self.dir, 0o755)
            if os.geteuid() == 0:
                shutil.chown(top, "postgres", "postgres")

    def pg_start(self, name, *conf):
        data = self.file(f"pg/{name}")
        (data / "postmaster.pid").unlink(missing_ok=True)  # a killed one may still be a zombie, which is taken for alive
        options = [o for c in (f"port={self.port(name)}", *conf) for o in ("-c", c)]
        self.start(name, [f"{PG}/postgres", "-D", data, *options], user="postgres")
        self.ready(name, lambda: subprocess.run([f"{PG}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port(name))], check=False).returncode == 0)

    def pg_copy(self, name, of, *conf, standby=True, known_as=None):
        """A copy of a running cluster, as its standby, which its primary knows by a name."""
        self.pg_directory()
        data = self.file(f"pg/{name}")
        primary = f"host=127.0.0.1 port={self.port(of)} user=dr password={PASSWORD} application_name={known_as or name}"
        run_pg([f"{PG}/pg_basebackup", "-d", f"{primary} dbname=postgres", "-D", data, "-X", "stream", "-c", "fast", "--no-sync"])
        if standby:
            run_pg(["touch", data / "standby.signal"])
            with open(data / "postgresql.auto.conf", "a", encoding="utf-8") as auto:
                auto.write(f"primary_conninfo = '{primary}'\n")
        self.pg_start(name, *conf)

    def sql(self, name, text, database=None, check=True):
        """What a statement says, one row a line."""
        where = ["-h", "127.0.0.1", "-p", self.port(name), "-U", "dr", "-d", database or "app"]
        return run([f"{PG}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *where, "-c", text], check=check,
                   env={**os.environ, "PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "5", "PGAPPNAME": "lab"})

    # ---- Redis

    def redis(self, name, *options):
        data = self.file(f"redis/{name}")
        data.mkdir(parents=True, exist_ok=True)
        fixed = ["--bind", "127.0.0.1", "--port", self.port(name), "--dir", data, "--save", "", "--repl-diskless-sync-delay", "0",
                 "--requirepass", PASSWORD, "--masterauth", PASSWORD,
                 # What it shows of itself would be written over the mark by which a lab is ended.
                 "--set-proc-title", "no"]
        self.start(name, ["redis-server", *fixed, *options])
        self.ready(name, lambda: self.redis_cli(name, "ping") == "PONG")

    def redis_cli(self, name, *words):
        return run(["redis-cli", "-h", "127.0.0.1", "-p", self.port(name), *words], env={**os.environ, "REDISCLI_AUTH": PASSWORD})

    # ---- ClickHouse (its own engine behind a small HTTP server)

    def clickhouse(self, name, env=None):
        data = self.file(f"ch/{name}")
        data.mkdir(parents=True, exist_ok=True)
        extra = {"LAB_CLICKHOUSE_S3": f"{self.url('s3')}/ lab lab-secret-key"} if "s3" in self.state["ports"] else {}
        extra.update(env or {})
        self.start(name, [CACHE / "clickhouse/bin/python", HERE / "clickhouse.py", self.port(name), data, "dr", PASSWORD], env=extra)
        self.ready(name, lambda: self.clickhouse_ask(name, "select 1") == "1", 60)

    def clickhouse_ask(self, name, sql):
        """What a statement says, or the error as it stands."""
        headers = {"X-ClickHouse-User": "dr", "X-ClickHouse-Key": PASSWORD}
        return get(self.url(name) + "/", sql, headers=headers, timeout=60)[1].strip()

    # ---- object store (moto: judge no safety by it)

    def objects(self, name="s3"):
        self.start(name, [PYTHON, "-m", "moto.server", "-H", "127.0.0.1", "-p", self.port(name)])
        self.ready(name, lambda: get(self.url(name) + "/moto-api/")[0])
        self.env(AWS_ENDPOINT_URL=self.url(name), AWS_ACCESS_KEY_ID="lab", AWS_SECRET_ACCESS_KEY="lab-secret-key", AWS_REGION="us-east-1",
                 AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true", AWS_PAGER="")

    def s3(self):
        import boto3  # seconds of imports that only some labs need
        from botocore.config import Config
        env = self.state["env"]
        return boto3.client("s3", endpoint_url=env["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id="lab",
                            aws_secret_access_key="lab-secret-key", config=Config(s3={"addressing_style": "path"}))

    # ---- names (Knot)

    def names(self, name, zone, key, records):
        """A name server with a zone, which takes updates that are signed with `key` (name, base64; HMAC-SHA256)."""
        home = self.file(name)
        home.mkdir()
        (home / "zone").write_text(f"$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 5\n@ NS ns\nns A 127.0.0.1\n{records}")
        (home / "knot.conf").write_text(
            f"server:\n  listen: 127.0.0.1@{self.port(name)}\n  rundir: {home}\nlog:\n  - target: stderr\n    any: info\ndatabase:\n  storage: {home}\n"
            f"key:\n  - id: {key[0]}\n    algorithm: hmac-sha256\n    secret: {key[1]}\nacl:\n  - id: update\n    key: {key[0]}\n    action: update\n"
            f"zone:\n  - domain: {zone}\n    storage: {home}\n    file: zone\n    acl: update\n")
        knotd = "/usr/sbin/knotd" if os.path.exists("/usr/sbin/knotd") else "knotd"
        self.start(name, [knotd, "-c", home / "knot.conf"])
        self.ready(name, lambda: self.dig(name, zone, "SOA"))

    def dig(self, name, record, kind):
        """What a name server answers, sorted, one value a line."""
        port = str(self.port(name))
        said = run(["dig", "+short", "+norecurse", "+time=1", "+tries=1", "@127.0.0.1", "-p", port, record, kind])
        return "\n".join(sorted(line for line in said.splitlines() if not line.startswith(";")))

    # ---- programs

    def tool(self, name, text):
        """A program on PATH, before those of the machine."""
        (self.dir / "bin").mkdir(exist_ok=True)
        self.file(f"bin/{name}").write_text(text)
        self.file(f"bin/{name}").chmod(0o755)

    # ---- Kubernetes (a stand-in that real kubectl drives; containers and Jobs run as processes)

    def kubernetes(self, namespace, plan, jobs, contexts=("lab",)):
        """An API server with a namespace, and what runs its containers; `jobs` is what these have of Secrets and volumes."""
        kube = self.file("kube")
        kube.mkdir()
        (self.dir / "log").mkdir(exist_ok=True)
        # It ends with whoever started it: that is to be somebody who stays.
        self.start("kubeapi", ["/bin/sh", "-c", '"$@" & wait', "sh", PYTHON, HERE / "kubeapi.py", kube, PASSWORD])
        self.ready("kubeapi", lambda: (kube / "port").exists())
        config = json.loads((kube / "kubeconfig").read_text())
        first = config["contexts"][0]["context"]
        config["contexts"] += [{"name": name, "context": {**first, "namespace": namespace}} for name in contexts]
        (kube / "kubeconfig").write_text(json.dumps(config))
        self.env(KUBECONFIG=kube / "kubeconfig")
        self.kubectl("create", "--validate=false", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
        (kube / "jobs.json").write_text(json.dumps({k: str(v) for k, v in jobs.items()}))
        self.start("kubelet", [PYTHON, HERE / "kubelet.py", kube, plan, kube / "jobs.json"])

    def kubectl(self, *words, text=None):
        return run(["kubectl", *words], env=self.environ(), input=text)

    def kube_control(self, **order):
        import ssl
        kube = self.file("kube")
        config = json.loads((kube / "kubeconfig").read_text())
        request = urllib.request.Request(config["clusters"][0]["cluster"]["server"] + "/_control", data=json.dumps(order).encode())
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(kube / "ca.pem")), timeout=5) as answer:
            return json.load(answer)

    def deployment(self, namespace, name, replicas, command, image="registry.example.com/app:1", container=None):
        container = {"name": container or name, "image": image, "command": [str(w) for w in command]}
        labels = {"app": name}
        thing = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
                 "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                          "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}}
        self.kubectl("-n", namespace, "create", "--validate=false", "-f", "-", text=json.dumps(thing))

    def replicas(self, namespace, name):
        return int(self.kubectl("-n", namespace, "get", "deployment", name, "-o", "jsonpath={.spec.replicas}"))

    # ---- the whole

    def begin(self, owner, passing=False):
        """An empty directory that is a lab; a passing one is removed when its owner ends."""
        if self.dir.exists() and any(self.dir.iterdir()):
            if not self.file("house.json").exists():
                raise Wrong(f"{self.dir} is not empty and no lab")
            self.down()
            shutil.rmtree(self.dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.state = {"ports": {}, "pids": {}, "env": {}, "params": {}, "owner": owner, "passing": passing}
        self.keep()
        if owner:
            self.start("owner", [PYTHON, __file__, "watch", self.dir, owner, started_at(owner)])

    def finish(self):
        lines = [f"export {k}={shlex.quote(v)}\n" for k, v in self.state["env"].items()]
        lines.append(f"export PATH={shlex.quote(f'{self.dir}/bin:{CACHE}/bin')}:{PG}:\"$PATH\"\n")
        self.file("env").write_text("".join(lines))
        self.param()

    def inhabitants(self):
        """Everything that runs in this lab, whoever started it and whatever session it has."""
        mark, found = f"{MARK}={self.dir}".encode(), []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in environ.read_bytes().split(b"\0") and started_at(environ.parent.name):
                    found.append(int(environ.parent.name))
            except OSError:
                continue
        return [pid for pid in found if pid != os.getpid()]

    def down(self):
        def killed():
            for pid in self.inhabitants():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not self.inhabitants()
        until("everything ends", killed)
        for port in self.state["ports"].values():
            (CACHE / "ports" / str(port)).unlink(missing_ok=True)


def run_pg(argv, **more):
    """As the user that PostgreSQL runs as: it refuses root."""
    who = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.geteuid() == 0 else []
    return run([*who, *argv], cwd="/", **more)


def template():
    """A cluster with its roles, shut down cleanly, made once."""
    version = run([f"{PG}/postgres", "--version"])
    tar = CACHE / f"house-{version.split()[2]}-1.tar"
    with open(CACHE / "house.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if tar.exists():
            return tar
        data = Path(run_pg(["mktemp", "-d", "/tmp/drplan-house.XXXXXX"]))
        try:
            run_pg([f"{PG}/initdb", "-D", data, "-U", "dr", "-A", "trust", "--wal-segsize=1", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            conf = ["listen_addresses = '127.0.0.1'", "unix_socket_directories = ''", "max_connections = 60", "shared_buffers = 16MB",
                    "dynamic_shared_memory_type = mmap", "fsync = off", "wal_level = logical", "wal_log_hints = on", "wal_keep_size = 64MB",
                    "wal_retrieve_retry_interval = 200ms", "track_commit_timestamp = on", "log_statement = all",
                    "log_line_prefix = '%m [%p] %u@%d %a: '", "log_timezone = UTC", "timezone = UTC"]
            run_pg(["tee", "-a", data / "postgresql.conf"], input="\n".join(conf) + "\n")
            roles = f"alter role dr password '{PASSWORD}'; create role app login password '{PASSWORD}';\n".replace("; ", ";\n")
            run_pg([f"{PG}/postgres", "--single", "-D", data, "postgres"], input=roles)
            hba = "host all all 127.0.0.1/32 scram-sha-256\nhost replication dr 127.0.0.1/32 scram-sha-256\n"
            run_pg(["tee", data / "pg_hba.conf"], input=hba)
            new = tar.with_suffix(".new")
            with open(new, "wb") as out:
                subprocess.run(["tar", "-cf", "-", "-C", str(data), "."], stdout=out, check=True)
            new.rename(tar)
        finally:
            shutil.rmtree(data)
    return tar


def watch(directory, pid, at):
    """Takes the lab down when its owner ends."""
    while started_at(int(pid)) == at:
        time.sleep(0.5)
    house = House(directory)
    house.down()
    if house.state.get("passing"):
        shutil.rmtree(house.dir)


def main(lab, argv):
    """VERB DIR [WORD…]"""
    verbs = {name: function for name, function in inspect.getmembers(lab, inspect.isfunction) if not name.startswith("_")}
    if len(argv) < 2:
        raise Wrong("VERB DIR; verbs: up, down, facts, judge, " + ", ".join(sorted(n for n in verbs if n.startswith("lose_"))))
    verb, house, words = argv[0].replace("-", "_"), lab(argv[1]), argv[2:]
    if verb == "up":
        owner = int(words[words.index("--owner") + 1]) if "--owner" in words else None
        house.begin(owner)
        try:
            house.up()
        except BaseException:
            house.down()
            raise
        house.finish()
    elif verb == "down":
        house.down()
        if "--remove" in words:
            shutil.rmtree(house.dir)
    elif verb == "logs":
        for name in sorted(house.state["pids"]):
            if said := house.log(name):
                print(f"--- log/{name}.log, its end\n{said}")
    elif verb == "facts":
        print(json.dumps(house.facts(), indent=1, sort_keys=True))
    elif verb in verbs:
        said = verbs[verb](house, *words)
        if said is not None:
            print(said)
    else:
        raise Wrong(f"no verb {verb}: {', '.join(sorted(verbs))}")


if __name__ == "__main__":
    try:
        if sys.argv[1:2] == ["watch"]:
            watch(*sys.argv[2:5])
        else:
            from importlib.util import module_from_spec, spec_from_file_location
            spec = spec_from_file_location("lab", sys.argv[1])
            module = module_from_spec(spec)
            sys.path.append(str(Path(sys.argv[1]).resolve().parent))
            sys.modules["house"] = sys.modules["__main__"]
            spec.loader.exec_module(module)
            main(module.Lab, sys.argv[2:])
    except Wrong as why:
        sys.exit(f"lab: {why}")
