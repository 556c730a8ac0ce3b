"""The lab of `plans/trading`: real PostgreSQL (a primary with its synchronous standby, a logical subscriber, two empty servers), real
Redis with append-only files and snapshots, names in Knot, an archive in three directories that stand for two object stores and a NAS.
The servers' agent, registries, dashboards, metrics and the audit log are small servers of this folder (stands.py); orders.py takes orders.
"""
import hashlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

from house import PASSWORD, PG, PYTHON, House, Wrong, get, run, run_pg, until

PLAN = Path(__file__).resolve().parent
KEY = "bGFiIGtleSBvZiB0aGUgbmFtZXM="
TOKEN, CONFIG_KEY = "lab-board-token-77c1", "lab-config-key-0b52"
ADDRESSES = {"north-1": "198.51.100.11", "north-2": "198.51.100.12", "south-1": "203.0.113.21"}
SERVERS = [*(f"database-{s}" for s in ("north-1", "north-2", "north-3", "north-4", "south-1")),
           *(f"cache-{s}" for s in ("north-1", "north-2", "north-4", "south-1")), *(f"orders-{s}" for s in ADDRESSES),
           *(f"{w}-{s}" for w in ("board", "metrics", "audit") for s in ("watch-1", "watch-2")),
           "servers", "names", "registry", "registry-south", "edge", "client", "post"]
#: The three places of backups.
PLACES = ("store", "store-south", "nas")
SESSIONS = 200
DASHBOARDS = {"orders": {"panels": ["latency", "confirmed"]}, "database": {"panels": ["lag", "archive"]}, "risk": {"panels": ["positions"]}}
RULES = {"order-latency": {"over": "50ms", "for": "5s"}, "standby-silent": {"over": "1s", "for": "1s"}}


class Lab(House):
    def up(self):
        for name in SERVERS:
            self.port(name)
        self.names("names", "exchange.example", ("drplan", KEY),
                   "orders CNAME north-1\n" + "".join(f"{name} A {address}\n" for name, address in ADDRESSES.items()))
        self.pg_directory()
        for place in PLACES:
            self.file(place).mkdir()
            for what in ("base", "log", "cache/rdb", "cache/aof", "config", "board", "metrics", "audit"):
                self.file(f"{place}/{what}").mkdir(parents=True)
            run(["chown", "-R", "--reference", self.file("pg"), self.file(place)])
        logs = [str(self.file(f"{place}/log")) for place in PLACES]
        self.tool("ship", SHIP.format(logs=" ".join(logs)))
        shipped = ["archive_mode=on", f"archive_command={self.file('bin/ship')} %p %f", "archive_timeout=2s"]
        conf = {"database-north-1": shipped, "database-north-2": shipped, "database-north-3": [], "database-north-4": [], "database-south-1": []}
        self.env(LAB_CONF=json.dumps(conf), LAB_NAMES=self.at("names"), LAB_BOARD_TOKEN=TOKEN, EXCHANGE_DB_PASSWORD=PASSWORD,
                 EXCHANGE_CACHE_PASSWORD=PASSWORD, EXCHANGE_NAMES_KEY=KEY, EXCHANGE_CONFIG_KEY=CONFIG_KEY, EXCHANGE_BOARD_TOKEN=TOKEN,
                 EXCHANGE_PAGER_HOOK=self.url("post") + "/pager", EXCHANGE_CHAT_HOOK=self.url("post") + "/chat",
                 EXCHANGE_COMPLIANCE_HOOK=self.url("post") + "/compliance")
        self.stand("post", self.file("told.jsonl"))
        self.databases(conf)
        self.caches()
        self.supply()
        self.watch()
        self.stand("servers", self.dir)
        for server in ("north-1", "north-2"):
            self.disk(server)
        self.service("north-1", "orders", running=True)
        until("orders are taken", lambda: get(self.url("orders-north-1") + "/healthz")[0] == 200)
        table = json.dumps({address: self.port(f"orders-{name}") for name, address in ADDRESSES.items()})
        self.stand("edge", "orders.exchange.example", table)
        until("customers come in", lambda: get(self.url("edge") + "/healthz")[0] == 200)
        self.stand("client", self.port("edge"), self.file("orders.jsonl"))
        self.base()
        until("there are orders", lambda: len(self.book()) > 20)
        self.cache_copies()
        here = {"127.0.0.1": ("db_1", "db_2", "db_reports", "db_spare", "db_south", "cache_1", "cache_2", "cache_spare", "cache_south")}
        self.param(**{name: host for host, names in here.items() for name in names},
                   db_1_port=self.port("database-north-1"), db_2_port=self.port("database-north-2"), db_reports_port=self.port("database-north-3"),
                   db_spare_port=self.port("database-north-4"), db_south_port=self.port("database-south-1"),
                   db_1_disk=str(self.file("pg/database-north-1")), db_2_disk=str(self.file("pg/database-north-2")),
                   db_spare_disk=str(self.file("pg/database-north-4")), db_south_disk=str(self.file("pg/database-south-1")),
                   cache_1_port=self.port("cache-north-1"), cache_2_port=self.port("cache-north-2"), cache_spare_port=self.port("cache-north-4"),
                   cache_south_port=self.port("cache-south-1"), cache_1_disk=str(self.file("redis/cache-north-1")),
                   cache_spare_disk=str(self.file("redis/cache-north-4")), cache_south_disk=str(self.file("redis/cache-south-1")),
                   servers_url=self.url("servers"), orders_1_url=self.url("orders-north-1"), orders_2_url=self.url("orders-north-2"),
                   orders_south_url=self.url("orders-south-1"), orders_url=self.url("edge"), north_disk=str(self.file("srv/north-1")),
                   south_disk=str(self.file("srv/south-1")), name_server=self.at("names"), store=str(self.file("store")),
                   store_south=str(self.file("store-south")), nas=str(self.file("nas")),
                   board_url=self.url("board-watch-1"), board_2_url=self.url("board-watch-2"), metrics_url=self.url("metrics-watch-1"),
                   metrics_2_url=self.url("metrics-watch-2"), metrics_2_disk=str(self.file("watch-2/metrics")),
                   audit_2_url=self.url("audit-watch-2"), audit_2_disk=str(self.file("watch-2/audit")), registry=self.url("registry"),
                   registry_south=self.url("registry-south"), code_url=str(self.file("git/orders.git")), mirror_url=str(self.file("git/mirror.git")),
                   image=self.image(), least_sessions=SESSIONS, watch_for="1s")

    def stand(self, name, *words, what=None):
        self.start(name, [PYTHON, PLAN / "stands.py", what or name, self.port(name), *words])
        self.ready(name, lambda: get(self.url(name) + "/")[0])

    def service(self, server, service, **given):
        """A word to the servers' agent; whom it starts stands in house.json afterwards."""
        status, text = get(f"{self.url('servers')}/{server}/{service}", json.dumps(given) if given else None, "PUT" if given else "GET", timeout=30)
        self.state = json.loads(self.file("house.json").read_text())
        if status != 200:
            raise Wrong(f"{service} on {server}: {status} {text}")
        return json.loads(text)["running"]

    # ---- what the platform has

    def databases(self, conf):
        first = "database-north-1"
        self.postgres(first, *conf[first], database="orders")
        self.sql(first, TABLES + "create publication reports for table orders", database="orders")
        self.pg_copy("database-north-2", first, *conf["database-north-2"], known_as="north_2")
        self.sql(first, "alter system set synchronous_standby_names = '\"north_2\"'", database="orders")
        self.sql(first, "select pg_reload_conf()", database="orders")
        until("two confirm", lambda: self.synchronous(first) == ["north_2"])
        self.postgres("database-north-3", database="orders")
        self.sql("database-north-3", TABLES, database="orders")
        source = f"host=127.0.0.1 port={self.port(first)} dbname=orders user=dr password={PASSWORD}"
        self.sql("database-north-3", f"create subscription from_primary connection '{source}' publication reports", database="orders")

    def synchronous(self, name):
        return self.sql(name, "select application_name from pg_stat_replication where sync_state = 'sync' and state = 'streaming'", database="orders").split()

    def caches(self):
        self.redis("cache-north-1", *CACHE)
        self.redis("cache-north-2", *CACHE, "--replicaof", "127.0.0.1", self.port("cache-north-1"))
        self.redis_cli("cache-north-1", "sadd", "sessions", *(f"s{n}" for n in range(SESSIONS)))
        self.redis_cli("cache-north-1", "hset", "limits", *(w for n in range(20) for w in (f"symbol-{n}", str(100 * n))))
        until("the second cache has it too", lambda: "master_link_status:up" in self.redis_cli("cache-north-2", "info", "replication")
              and self.redis_cli("cache-north-2", "scard", "sessions") == str(SESSIONS))

    def supply(self):
        """Configuration, images, code."""
        config = self.file("config")
        config.mkdir()
        servers = {s: {"host": "127.0.0.1", "database": self.port(f"database-{s}"), "cache": self.port(f"cache-{s}")} for s in ADDRESSES}
        (config / "config.json").write_text(json.dumps({"release": "r7", "password": PASSWORD, "servers": servers}))
        sums(config)
        sealed = self.file("store/config/2026-01-12.tar.gz.enc")
        run(["sh", "-c", 'tar -czf - -C "$1" . | openssl enc -aes-256-cbc -pbkdf2 -pass env:KEY -out "$2"', "sh", config, sealed], env={**os.environ, "KEY": CONFIG_KEY})
        sums(sealed.parent, sealed.name + ".sha256")
        for place in PLACES[1:]:
            shutil.copytree(sealed.parent, self.file(f"{place}/config"), dirs_exist_ok=True)
        for registry in ("registry", "registry-south"):
            self.file(registry).mkdir()
            shutil.copy(PLAN / "orders.py", self.file(f"{registry}/{self.image()}"))
            self.file(f"{registry}/r7").write_text(self.image() + "\n")
            self.stand(registry, self.file(registry), what="registry")
        work, who = self.file("git/work"), ["-c", "user.name=lab", "-c", "user.email=lab@exchange.example"]
        work.mkdir(parents=True)
        shutil.copy(PLAN / "orders.py", work)
        for words in (["init", "--quiet"], ["add", "."], [*who, "commit", "--quiet", "-m", "r7"], ["tag", "r7"]):
            run(["git", "-C", work, *words])
        run(["git", "clone", "--quiet", "--mirror", work, self.file("git/orders.git")])
        run(["git", "clone", "--quiet", "--mirror", self.file("git/orders.git"), self.file("git/mirror.git")])

    def image(self):
        return hashlib.sha256((PLAN / "orders.py").read_bytes()).hexdigest()

    def disk(self, server):
        """The service's disk, with its release and its configuration."""
        disk = self.file(f"srv/{server}")
        disk.mkdir(parents=True)
        shutil.copy(PLAN / "orders.py", disk)
        shutil.copytree(self.file("config"), disk / "config")

    def watch(self):
        here = self.file("watch-1")
        (here / "metrics").mkdir(parents=True)
        (here / "audit").mkdir()
        for n in range(5):
            (here / f"metrics/{n}.block").write_text(json.dumps([n * 7 % 5] * 100))
        sums(here / "metrics")
        archive = self.file("store/metrics/2026-01-12.tar.gz")
        run(["tar", "-czf", archive, "-C", here / "metrics", "."])
        (here / "board.json").write_text(json.dumps({"dashboards": DASHBOARDS, "rules": RULES}))
        for what, things in (("dashboards", DASHBOARDS), ("rules", RULES)):
            export = self.file(f"store/board/2026-01-12/{what}")
            export.mkdir(parents=True)
            for name, thing in things.items():
                (export / f"{name}.json").write_text(json.dumps(thing))
            sums(export)
        for place in PLACES[1:]:
            for what in ("metrics", "board"):
                shutil.copytree(self.file(f"store/{what}"), self.file(f"{place}/{what}"), dirs_exist_ok=True)
        self.stand("board-watch-1", here / "board.json", what="board")
        self.stand("metrics-watch-1", here / "metrics", what="metrics")
        self.stand("audit-watch-1", here / "audit/audit.jsonl", *(self.file(f"{p}/audit/audit.jsonl") for p in PLACES), what="audit")

    def base(self):
        """A base backup, as it is taken each night."""
        env = {**os.environ, "PGPASSWORD": PASSWORD}
        base = self.file(f"store/base/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        run_pg([f"{PG}/pg_basebackup", "-h", "127.0.0.1", "-p", self.port("database-north-1"), "-U", "dr", "-D", base, "-X", "none", "-c", "fast", "--no-sync"], env=env)
        for place in PLACES[1:]:
            run(["cp", "-a", base, self.file(f"{place}/base")])

    def cache_copies(self):
        """A snapshot and the append-only file, as they are copied away."""
        self.redis_cli("cache-north-1", "save")
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        disk = self.file("redis/cache-north-1")
        for place in PLACES:
            shutil.copy(disk / "dump.rdb", self.file(f"{place}/cache/rdb/{stamp}.rdb"))
            run(["tar", "-cf", self.file(f"{place}/cache/aof/{stamp}.tar"), "-C", disk, "appendonlydir"])

    def book(self):
        file = self.file("orders.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")] if file.exists() else []

    def witness(self, **what):
        self.file("witness.json").write_text(json.dumps(what))

    # ---- what can be lost

    def lose_primary_loss(self):
        """For a while the standby hears nothing, and what was sent to it is thrown away: an order that the first server confirmed
        alone now would be lost. Then that server dies."""
        receiver = int(self.sql("database-north-2", "select pid from pg_stat_wal_receiver", database="orders"))
        os.kill(receiver, signal.SIGSTOP)
        time.sleep(0.7)
        for what in ("orders", "database", "cache"):
            self.kill(f"{what}-north-1")
        for what in ("pg/database-north-1", "redis/cache-north-1", "srv/north-1"):
            run(["rm", "-rf", self.file(what)])
        os.kill(receiver, signal.SIGTERM)
        os.kill(receiver, signal.SIGCONT)

    def lose_standby_loss(self):
        for what in ("database", "cache"):
            self.kill(f"{what}-north-2")
        for what in ("pg/database-north-2", "redis/cache-north-2"):
            run(["rm", "-rf", self.file(what)])

    def lose_provider_loss(self):
        """Everything of the first provider, its object store too. Orders that were confirmed after the log was closed may be lost."""
        self.cache_copies()
        before = time.time()
        self.archived()
        self.witness(before=before)
        for name in [n for n in SERVERS if "-north-" in n or "-watch-1" in n]:
            self.kill(name)
        for what in ("pg/database-north-1", "pg/database-north-2", "pg/database-north-3", "redis", "srv", "store", "watch-1"):
            run(["rm", "-rf", self.file(what)])

    def lose_data_corruption(self):
        """A release deletes every fifth of the orders that are older than a moment, and more orders come in."""
        clean = self.sql("database-north-1", CLOCK, database="orders")
        time.sleep(0.3)  # so that no order has the very time
        self.sql("database-north-1", f"delete from orders where id % 5 = 2 and at < timestamptz '{clean}' - interval '200ms'", database="orders")
        if self.sql("database-north-1", "select max(id) - count(*) > 3 from orders", database="orders") != "t":
            raise Wrong("nothing to speak of was deleted")
        time.sleep(0.3)
        self.archived()
        return f"clean_at={clean}"

    def lose_restore_test(self):
        """Nothing is lost: it is planned."""
        self.witness(newest=self.book()[-1]["id"])

    def archived(self):
        """All log up to now is in all places of the archive."""
        segment = self.sql("database-north-1", "select pg_walfile_name(pg_switch_wal())", database="orders")
        until("the log is archived", lambda: all(self.file(f"{place}/log/{segment}").exists() for place in PLACES))

    def lose_cache_loss(self, torn=False):
        """Somebody empties the first cache, which empties the second; and the copies that are taken afterwards are whole, and empty."""
        if torn:
            for place in PLACES:
                for file in self.file(f"{place}/cache/aof").iterdir():
                    at = file.stat().st_mtime
                    with open(file, "r+b") as tar:
                        tar.seek(file.stat().st_size // 2)
                        tar.write(b"\0" * 2000)
                    os.utime(file, (at, at))
        time.sleep(1.1)
        clean = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        time.sleep(1.1)
        self.redis_cli("cache-north-1", "flushall")
        self.cache_copies()
        return f"clean_at={clean}"

    def lose_cache_and_log(self):
        """And the older copy of the append-only file is damaged: only the snapshot is left."""
        return self.lose_cache_loss(torn=True)

    def lose_observability_loss(self):
        with open(self.file("watch-1/audit/audit.jsonl"), encoding="utf-8") as log:
            lines = log.read().splitlines()
        self.witness(entries=len(lines), last=lines[-1])
        for what in ("board", "metrics", "audit"):
            self.kill(f"{what}-watch-1")
        run(["rm", "-rf", self.file("watch-1")])

    # ---- what must be there afterwards

    def where(self):
        """The server to which the name leads."""
        said = self.dig("names", "orders.exchange.example", "A").split()
        return next(name for name, address in ADDRESSES.items() if address in said)

    def judge(self, scenario):
        """No confirmed order is missing, whatever was lost; only with the whole provider some of the last seconds may be."""
        wrong, server = [], self.where()
        database, cache = f"database-{server}", f"cache-{server}"
        book = self.book()
        there = dict(line.split("|", 1) for line in self.sql(database, "select id, ref || '|' || price from orders", database="orders").splitlines())
        known = json.loads(self.file("witness.json").read_text()) if self.file("witness.json").exists() else {}
        if missing := [o for o in book if o["at"] < known.get("before", time.time()) and there.get(str(o["id"])) != f"{o['ref']}|{o['price']}"]:
            wrong.append(f"{len(missing)} of {len(book)} confirmed orders are missing or others: {missing[:3]}")
        if self.redis_cli(cache, "scard", "sessions") != str(SESSIONS) or self.redis_cli(cache, "hlen", "limits") != "20":
            wrong.append("sessions or limits are missing")
        status, text = get(self.url("edge") + "/healthz")
        if status != 200 or json.loads(text)["server"] != server:
            wrong.append(f"orders: {status} {text}")
        if scenario == "primary-return" and self.synchronous(database) != ["north_2"]:
            wrong.append(f"who confirms: {self.synchronous(database)}")
        if scenario == "observability-loss":
            wrong += self.seen(known)
        if scenario == "restore-test":
            restored = self.sql("database-north-4", "select count(*) = max(id) and max(id) >= {} from orders".format(known["newest"]), database="orders")
            if restored != "t" or self.redis_cli("cache-north-4", "scard", "sessions") != str(SESSIONS):
                wrong.append("the restored copy is not whole")
        # It must go on: orders are confirmed, and come to the reports.
        until("orders are confirmed again", lambda: len(self.book()) > len(book) + 3)
        newest = "select count(*) from orders where ref = '{}'".format(self.book()[-1]["ref"])
        if server != "south-1":
            until("reports hear of them", lambda: self.sql("database-north-3", newest, database="orders") == "1")
        if wrong:
            raise Wrong("; ".join(wrong))

    def seen(self, known):
        """What is wrong with dashboards, rules, metrics and the audit log."""
        wrong = []
        if not self.file("watch-2/board.json").exists():
            return ["nothing runs on the other server"]
        if json.loads(self.file("watch-2/board.json").read_text()) != {"dashboards": DASHBOARDS, "rules": RULES}:
            wrong.append("dashboards or rules are others")
        if json.loads(get(self.url("metrics-watch-2") + "/")[1]) != {"blocks": 5, "samples": 500}:
            wrong.append("metrics are missing")
        lines = self.file("watch-2/audit/audit.jsonl").read_text().splitlines()
        if lines[known["entries"] - 1] != known["last"]:
            wrong.append("the audit log is another one")
        if json.loads(lines[known["entries"]])["before"] != hashlib.sha256(known["last"].encode()).hexdigest():
            wrong.append("the audit log does not go on from what it was")
        return wrong

    def facts(self):
        """The same whichever way one got here."""
        server = self.where()
        database = f"database-{server}"
        health = json.loads(get(self.url("edge") + "/healthz")[1])
        told = [json.loads(line)["said"] for line in self.file("told.jsonl").read_text().splitlines()] if self.file("told.jsonl").exists() else []
        running = {name: self.pid(name) is not None for name in SERVERS if "-" in name and name != "registry-south"}
        return {
            "name": self.dig("names", "orders.exchange.example", "CNAME"),
            "health": [health["server"], health["release"], health["writes"], health["sessions"]],
            "orders": self.sql(database, "select count(*) = max(id) - min(id) + 1, pg_is_in_recovery() from orders", database="orders"),
            "confirmed by": self.synchronous(database),
            "cache": [self.redis_cli(f"cache-{server}", "config", "get", "appendonly").split()[-1], self.redis_cli(f"cache-{server}", "hgetall", "limits").split()],
            "running": running,
            "told": sorted({str(said.get("event") or said.get("text", ""))[:24] for said in told if said.get("event") or said.get("text", "").startswith("The ")}),
        }


CLOCK = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
CACHE = ("--appendonly", "yes", "--save", "300 1", "--appendfsync", "everysec")
TABLES = ("create table orders (id bigint primary key, ref text not null unique, price int not null, at timestamptz not null default clock_timestamp());"
          "create table heartbeat (at timestamptz); insert into heartbeat values (now());"
          "grant select, insert on orders to app; grant select, update on heartbeat to app;")
SHIP = """#!/bin/sh
set -e
for log in {logs}; do
    [ -e "$log/$2" ] || {{ cp "$1" "$log/$2.new" && mv "$log/$2.new" "$log/$2"; }}
done
"""


def sums(directory, name="SHA256SUMS"):
    """Writes the checksums of all files of a directory beside them, as `sha256sum` does."""
    files = sorted(str(f.relative_to(directory)) for f in directory.rglob("*") if f.is_file() and f.name != name)
    (directory / name).write_text(run(["sha256sum", *files], cwd=directory) + "\n")
