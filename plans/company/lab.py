"""The lab of `plans/company`: four real PostgreSQL servers with dumps, base backups and log archives of their own, signals in
SQLite, code in Git, names in Knot, objects and secrets in moto. The provider of machines, the load balancers, the services
and their customers are small servers of this folder (stands.py, trading.py).
"""
import json
import os
import random
import sqlite3
import subprocess
import time
from pathlib import Path

from house import PASSWORD, PG, PYTHON, House, Wrong, get, run, run_pg, until

PLAN = Path(__file__).resolve().parent
KEY = "bGFiIGtleSBvZiB0aGUgbmFtZXM="
EAST, WEST = "198.51.100.10", "198.51.100.20"
#: The machines, each with its image; the second region's trading stands still.
MACHINES = {"trading-db-1": "postgres", "user-db-1": "postgres", "user-db-2": "postgres", "trading-1": "trading", "trading-2": "trading",
            "accounts-1": "accounts", "accounts-2": "accounts"}
SERVERS = [*MACHINES, "trading-db-2", "spare-db-1", "s3", "names", "machines", "door-1", "door-2", "balancer-1", "balancer-2", "trading-edge",
           "users-edge", "orders", "sign-ups", "post", "smtp", "shipper"]
SIGNALS = 500


class Lab(House):
    def up(self):
        for name in SERVERS:
            self.port(name)
        self.objects()
        self.names("names", "company.example", ("drplan", KEY), f"trading CNAME trading-east\ntrading-east A {EAST}\ntrading-west A {WEST}\n"
                                                                f"app A {EAST}\napp A {WEST}\n")
        for bucket in ("company-backups-east", "company-backups-west", "company-backups-cold"):
            self.s3().create_bucket(Bucket=bucket)
        archive = self.file("pg/archive")
        self.pg_directory()
        run_pg(["mkdir", archive])
        shipped = ["archive_mode=on", f"archive_command=cp %p {archive}/%f", "archive_timeout=1s"]
        self.env(LAB_PASSWORD=PASSWORD, LAB_NAMES=self.at("names"), LAB_CONF=json.dumps({"trading-db-1": shipped}),
                 COMPANY_DB_PASSWORD=PASSWORD, COMPANY_NAMES_KEY=KEY, COMPANY_CHAT_HOOK=self.url("post") + "/chat",
                 COMPANY_STATUS_HOOK=self.url("post") + "/status-page", DRPLAN_SMTP=f"smtp://127.0.0.1:{self.port('smtp')}",
                 DRPLAN_SMTP_FROM="drplan@company.example")
        self.tool("sendmail", f"#!{PYTHON}\n" + SENDMAIL.format(port=self.port("smtp")))
        self.stand("post", self.port("smtp"), self.file("told.jsonl"))
        self.stand("machines", self.dir)
        for name, image in MACHINES.items():
            self.ask("PUT", f"/machines/{name}", {"image": image})
        book = self.file("machines.json")  # the spare server has nothing on its disk; the standby is a copy
        more = {name: {"image": "postgres", "attached": True} for name in ("spare-db-1", "trading-db-2")}
        book.write_text(json.dumps(json.loads(book.read_text()) | more))
        self.databases()
        self.disks()
        self.backups()
        self.start("shipper", [PYTHON, PLAN / "stands.py", "shipper", self.port("shipper"), archive])
        for name in ("trading-1", "accounts-1", "accounts-2"):
            self.service(name, True)
            until(f"{name} answers", lambda name=name: get(self.url(name) + "/healthz")[0] == 200)
        for n in (1, 2):
            pool = json.dumps({f"accounts-{n}": self.port(f"accounts-{n}") for n in (1, 2)})
            self.start(f"balancer-{n}", [PYTHON, PLAN / "stands.py", "balancer", self.port(f"balancer-{n}"), self.port(f"door-{n}"), pool])
        table = json.dumps({EAST: self.port("trading-1"), WEST: self.port("trading-2")})
        self.stand("trading-edge", "trading.company.example", table, what="edge")
        self.stand("users-edge", "app.company.example", json.dumps({EAST: self.port("door-1"), WEST: self.port("door-2")}), what="edge")
        until("users come in", lambda: get(self.url("users-edge") + "/healthz")[0] == 200)
        self.stand("orders", self.port("trading-edge"), self.file("orders.jsonl"), "orders", what="client")
        self.stand("sign-ups", self.port("users-edge"), self.file("sign-ups.jsonl"), "accounts", what="client")
        until("there are orders and users", lambda: len(self.book("orders")) > 20 and len(self.book("sign-ups")) > 20)
        self.param(machines_url=self.url("machines"), s3_endpoint=self.url("s3"), trading_db_east="127.0.0.1", trading_db_east_port=self.port("trading-db-1"),
                   trading_db_east_disk=str(self.file("pg/trading-db-1")), spare_db_disk=str(self.file("pg/spare-db-1")),
                   trading_db_west="127.0.0.1", trading_db_west_port=self.port("trading-db-2"), spare_db="127.0.0.1", spare_db_port=self.port("spare-db-1"),
                   user_db_east="127.0.0.1", user_db_east_port=self.port("user-db-1"), user_db_west="127.0.0.1", user_db_west_port=self.port("user-db-2"),
                   trading_east_url=self.url("trading-1"), trading_west_url=self.url("trading-2"), accounts_east_url=self.url("accounts-1"),
                   accounts_west_url=self.url("accounts-2"), balancer_url=self.url("balancer-2"), trading_url=self.url("trading-edge"),
                   users_url=self.url("users-edge"), door_west=WEST, name_server=self.at("names"), git_url=str(self.file("git/trading.git")),
                   disk_east=str(self.file("srv/trading-1")), disk_west=str(self.file("srv/trading-2")), snapshots_east=str(self.file("backups/east/signals")),
                   snapshots_west=str(self.file("backups/west/signals")), vault=str(self.file("vault")), watch_for="2s")

    def stand(self, name, *words, what=None):
        self.start(name, [PYTHON, PLAN / "stands.py", what or name, self.port(name), *words])
        self.ready(name, lambda: get(self.url(name) + "/")[0])

    def ask(self, method, path, value=None):
        """A word to the machines' API; whom it starts stands in house.json afterwards."""
        status, text = get(self.url("machines") + path, json.dumps(value) if value is not None else None, method, timeout=60)
        self.state = json.loads(self.file("house.json").read_text())
        if status not in (200, 404):
            raise Wrong(f"{method} {path}: {status} {text}")
        return json.loads(text)

    def service(self, name, running):
        return self.ask("PUT", f"/machines/{name}/services/{MACHINES[name]}", {"running": running})

    # ---- what a company has

    def databases(self):
        self.sql("trading-db-1", "create table trades (id bigint primary key, price int not null, at timestamptz not null default clock_timestamp());"
                                 "create table limits (name text primary key, value text); insert into limits values ('most', '1000');"
                                 "grant select, insert, update, delete, truncate on trades, limits to app", database="trading")
        self.service("trading-db-1", False)  # and again with its archive
        self.service("trading-db-1", True)
        self.pg_copy("trading-db-2", "trading-db-1", "archive_mode=off")
        for n in (1, 2):
            self.sql(f"user-db-{n}", "create table accounts (id bigint, region text, name text not null, at timestamptz not null default clock_timestamp(),"
                                     " primary key (id, region)) partition by list (region);"
                                     "create table accounts_east partition of accounts for values in ('east');"
                                     "create table accounts_west partition of accounts for values in ('west');"
                                     "grant select, insert on accounts to app;"
                                     f"create publication own for table accounts_{'east' if n == 1 else 'west'}", database="users")
        for n, other in ((1, "west"), (2, "east")):
            where = f"host=127.0.0.1 port={self.port(f'user-db-{3 - n}')} dbname=users user=dr password={PASSWORD}"
            self.sql(f"user-db-{n}", f"create subscription from_{other} connection '{where}' publication own", database="users")

    def disks(self):
        """What lies on the disks of trading's servers; the second one has no configuration and no signals."""
        git = self.file("git/work")
        git.mkdir(parents=True)
        (git / "trading.py").write_text((PLAN / "trading.py").read_text())
        who = ["-c", "user.name=lab", "-c", "user.email=lab@company.example"]
        run(["git", "-C", git, "init", "--quiet"])
        for release in ("r41", "r42"):
            (git / "RELEASE").write_text(release + "\n")
            run(["git", "-C", git, "add", "."])
            run(["git", "-C", git, *who, "commit", "--quiet", "-m", release])
            run(["git", "-C", git, "tag", release])
        run(["git", "clone", "--quiet", "--bare", git, self.file("git/trading.git")])
        keys = json.dumps({"db_password": PASSWORD, "signing_key": "lab-signing-key-41a9"})
        secrets = self.boto("secretsmanager")
        secrets.create_secret(Name="company/trading", SecretString=keys)
        databases = {region: {"host": "127.0.0.1", "port": self.port(f"trading-db-{n}")} for region, n in (("east", 1), ("west", 2))}
        config = self.file("config")
        config.mkdir()
        for name, text in {"config.json": json.dumps({"databases": databases}), "ENVIRONMENT.md": "TZ=UTC\n", "compose.yaml": "services: {}\n",
                           "main.tf": "terraform {}\n", "server.crt": "a certificate\n"}.items():
            (config / name).write_text(text)
        sums(config)
        for n in (1, 2):
            disk = self.file(f"srv/trading-{n}")
            run(["git", "clone", "--quiet", "--branch", "r42", self.file("git/trading.git"), disk / "code"])
            (disk / "secrets").mkdir(mode=0o700)
            (disk / "secrets/keys.json").write_text(keys)
            (disk / "secrets/keys.json").chmod(0o600)
        first = self.file("srv/trading-1")
        run(["cp", "-a", config, first / "config"])
        (first / "logs").mkdir()
        (first / "logs/trading.log").write_text("started\n")
        sums(first / "logs")
        link = sqlite3.connect(first / "signals.db")
        link.execute("pragma journal_mode = wal")
        link.execute("create table signals (n integer primary key, value real not null)")
        link.executemany("insert into signals (value) values (?)", [(i * 7 % 31 / 10,) for i in range(SIGNALS)])
        link.commit()
        link.close()

    def boto(self, service):
        import boto3
        env = self.state["env"]
        return boto3.client(service, endpoint_url=env["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id="lab", aws_secret_access_key="lab-secret-key")

    def backups(self):
        """Each backup of the plan, taken once, by the tools that take them."""
        vault = self.file("vault")
        for name in ("trading", "users", "signals", "config", "code"):
            (vault / name).mkdir(parents=True)
        trades = "insert into trades (id, price) select n, 10 + n % 90 from generate_series(1, 200) n"
        self.sql("trading-db-1", trades, database="trading")
        self.sql("user-db-1", "insert into accounts select n, 'east', 'early-' || n from generate_series(1, 50) n", database="users")
        self.sql("user-db-2", "insert into accounts select n, 'west', 'early-' || n from generate_series(1, 50) n", database="users")
        until("both regions have the users of both", lambda: self.sql("user-db-1", "select count(*) from accounts", database="users") == "100"
              and self.sql("user-db-2", "select count(*) from accounts", database="users") == "100")
        for name, database, buckets in (("trading-db-1", "trading", "east west cold"), ("user-db-1", "users", "west east cold")):
            dump = vault / database / f"{database}.dump"
            run([f"{PG}/pg_dump", "-Fc", "-h", "127.0.0.1", "-p", self.port(name), "-U", "dr", "-d", database, "-f", dump], env={**os.environ, "PGPASSWORD": PASSWORD})
            for bucket in buckets.split():
                self.s3().upload_file(str(dump), f"company-backups-{bucket}", f"{database}/dump/{dump.name}", ExtraArgs=LOCKED)
        for name, database, bucket, more in (("trading-db-1", "trading", "east", "incremental"), ("user-db-1", "users", "west", "differential")):
            base = self.file(f"{database}-base.tar.gz")
            with open(base, "wb") as out:
                subprocess.run([f"{PG}/pg_basebackup", "-h", "127.0.0.1", "-p", str(self.port(name)), "-U", "dr", "-D", "-", "-F", "tar", "-X", "fetch",
                                "-Z", "1", "-c", "fast"], stdout=out, check=True, env={"PGPASSWORD": PASSWORD})
            for sunday in ("2026-01-04", "2026-01-11"):
                self.s3().upload_file(str(base), f"company-backups-{bucket}", f"{database}/full/{sunday}/base.tar.gz", ExtraArgs=LOCKED)
            self.s3().put_object(Bucket=f"company-backups-{bucket}", Key=f"{database}/{more}/2026-01-12.tar", Body=b"what changed", ServerSideEncryption="aws:kms")
            self.s3().put_object(Bucket=f"company-backups-{bucket}", Key=f"{database}/log/first", Body=b"log", ServerSideEncryption="aws:kms")
        for place in ("backups/east/signals", "backups/west/signals", "vault/signals"):
            self.file(place).mkdir(parents=True, exist_ok=True)
            run(["sqlite3", self.file("srv/trading-1/signals.db"), f".backup '{self.file(place)}/2026-01-12.db'"])
        self.archive(self.file("config"), vault / "config/2026-01-12.tar.gz", "config/", "east", "west")
        self.archive(self.file("srv/trading-1/logs"), self.file("logs.tar.gz"), "logs/daily/", "west")
        run(["git", "-C", self.file("git/trading.git"), "bundle", "create", "--quiet", vault / "code/trading.bundle", "--all"])
        sums(vault)

    def archive(self, directory, to, prefix, *buckets):
        run(["tar", "-czf", to, "-C", directory, "."])
        for bucket in buckets:
            self.s3().upload_file(str(to), f"company-backups-{bucket}", prefix + to.name, ExtraArgs=LOCKED)

    def book(self, name):
        file = self.file(f"{name}.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")] if file.exists() else []

    # ---- what can be lost

    def witness(self, **what):
        """When it was lost, and how long before that nothing may be missing."""
        self.file("witness.json").write_text(json.dumps({"at": time.time(), "allowed": 0, **what}))

    def archived(self):
        """All log up to now is in the archive, and the archive in the object store."""
        self.sql("trading-db-1", "select pg_switch_wal()", database="trading")
        state = self.file("pg/trading-db-1/pg_wal/archive_status")
        until("the log is archived", lambda: not list(state.glob("*.ready")))
        until("the log is shipped", lambda: json.loads(get(self.url("shipper") + "/")[1])["waiting"] == 0)

    def lose_database_failure(self):
        """kill -9, and the directory is half gone."""
        self.witness()
        self.archived()
        self.kill("trading-db-1")
        run_pg(["rm", "-rf", self.file("pg/trading-db-1/base")])

    def lose_server_failure(self):
        self.witness()
        self.kill("trading-1")
        run(["rm", "-rf", self.file("srv/trading-1")])
        self.gone("trading-1")

    def gone(self, *names):
        book = self.file("machines.json")
        book.write_text(json.dumps({name: m for name, m in json.loads(book.read_text()).items() if name not in names}))

    def lose_data_corruption(self):
        """A third of the trades is wrong; what is in another table afterwards must stay."""
        clean = self.sql("trading-db-1", "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", database="trading")
        self.witness()
        time.sleep(0.3)  # so that no trade has the very time
        self.sql("trading-db-1", "update trades set price = -price where id % 3 = 0", database="trading")
        self.sql("trading-db-1", "insert into limits values ('later', '7')", database="trading")
        self.archived()
        return f"clean_at={clean}"

    def lose_ransomware(self):
        """Everything that a network reaches is encrypted: databases, files, snapshots, buckets; the log of the databases too."""
        clean = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
        for name in [n for n in SERVERS if n.startswith(("trading-", "user-db", "accounts-", "spare-")) and self.pid(n) and not n.endswith("edge")]:
            self.kill(name)
        noise = random.Random(1)
        for place in ("pg", "srv", "backups"):
            for file in [f for f in self.file(place).rglob("*") if f.is_file() and not f.is_symlink()]:
                file.write_bytes(noise.randbytes(512))
                file.rename(file.with_name(file.name + ".locked"))
        s3 = self.s3()
        for bucket in ("company-backups-east", "company-backups-west", "company-backups-cold"):
            for found in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
                s3.put_object(Bucket=bucket, Key=found["Key"], Body=noise.randbytes(512))
        return f"clean_at={clean}"

    def lose_region_loss(self):
        self.witness(allowed=1)  # what the replica had not received
        for name in ("trading-1", "accounts-1", "balancer-1", "trading-db-1", "user-db-1"):
            self.kill(name)
        run(["rm", "-rf", self.file("srv/trading-1"), self.file("backups/east")])
        self.gone("trading-1", "accounts-1", "trading-db-1", "user-db-1")

    def lose_weekly_backups(self):
        """Nothing is lost: it is planned."""

    # ---- what must be there afterwards

    def judge(self, scenario):
        wrong = []
        west = scenario == "region-loss"
        trading = "trading-db-2" if west else "trading-db-1"
        trades = dict(line.split("|") for line in self.sql(trading, "select id, price from trades", database="trading").splitlines())
        early = {str(n): str(10 + n % 90) for n in range(1, 201)}
        users = set(self.sql("user-db-2", "select region, id, name from accounts", database="users").splitlines())
        if scenario == "ransomware":
            want, known = early, {f"{region}|{n}|early-{n}" for region in ("east", "west") for n in range(1, 51)}
        else:
            when = self.file("witness.json").exists() and json.loads(self.file("witness.json").read_text()) or {"at": time.time() - 1, "allowed": 0}
            before = when["at"] - when["allowed"]
            want = early | {str(o["id"]): str(o["price"]) for o in self.book("orders") if o["at"] < before}
            # Users of the first region are a moment away from the second.
            known = {f"{u['region']}|{u['id']}|{u['name']}" for u in self.book("sign-ups") if u["at"] < before - 1}
        if missing := [n for n, price in want.items() if trades.get(n) != price]:
            wrong.append(f"{len(missing)} of {len(want)} trades are not as they were confirmed: {missing[:5]}")
        if missing := known - users:
            wrong.append(f"{len(missing)} of {len(known)} users are missing: {sorted(missing)[:5]}")
        count, total = self.signals("west" if west else "east")
        if (count, total) != (SIGNALS, round(sum(i * 7 % 31 / 10 for i in range(SIGNALS)), 3)):
            wrong.append(f"signals: {count}, {total}")
        for name in ("trading", "users"):
            status, text = get(self.url(f"{name}-edge") + "/healthz")
            if status != 200:
                wrong.append(f"{name}: {status} {text}")
        disk = self.file(f"srv/trading-{2 if west else 1}")
        if sums(disk / "config", write=False) != sums(self.file("config"), write=False):
            wrong.append("configuration is another")
        # It must go on: people order and sign up.
        before = len(self.book("orders")), len(self.book("sign-ups"))
        until("orders and sign-ups are confirmed again", lambda: len(self.book("orders")) > before[0] + 3 and len(self.book("sign-ups")) > before[1] + 3)
        if wrong:
            raise Wrong("; ".join(wrong))

    def signals(self, region):
        """Those that every copy has."""
        link = sqlite3.connect(f"file:{self.file('srv')}/trading-{1 if region == 'east' else 2}/signals.db?mode=ro", uri=True)
        try:
            return link.execute(f"select count(*), round(sum(value), 3) from signals where n <= {SIGNALS}").fetchone()
        finally:
            link.close()

    def facts(self):
        """The same whichever way one got here."""
        health = [json.loads(get(self.url(f"{name}-edge") + "/healthz")[1]) for name in ("trading", "users")]
        trading = "trading-db-2" if health[0]["region"] == "west" else "trading-db-1"
        told = [json.loads(line)["to"] for line in self.file("told.jsonl").read_text().splitlines()] if self.file("told.jsonl").exists() else []
        return {
            "names": [self.dig("names", f"{n}.company.example", "A") for n in ("trading", "app")],
            "trading": [health[0]["region"], health[0]["release"], health[0]["writes"]],
            "trades": self.sql(trading, "select count(*) = max(id) - min(id) + 1, count(*) filter (where price <= 0), pg_is_in_recovery() from trades", database="trading"),
            "damaged": self.sql(trading, "select to_regclass('trades_damaged') is not null", database="trading"),
            "limits": self.sql(trading, "select name, value from limits order by 1", database="trading"),
            "regions": self.sql("user-db-2", "select distinct region from accounts order by 1", database="users"),
            "subscription": self.sql("user-db-2", "select subname, subenabled from pg_subscription order by 1", database="users"),
            "machines": {n: [m["state"], m["service"]] for n, m in sorted(self.ask("GET", "/machines").items())},
            "signals": self.signals(health[0]["region"]),
            "told": sorted(set(told)),
        }


LOCKED = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/company-backups"}
SENDMAIL = """import smtplib, sys
from email import message_from_bytes
mail = message_from_bytes(sys.stdin.buffer.read())
with smtplib.SMTP("127.0.0.1", {port}) as link:
    link.sendmail("drplan@company.example", [mail["To"]], mail.as_bytes())
"""


def sums(directory, write=True):
    """The checksums of all files of a directory, as `sha256sum` writes them."""
    files = sorted(str(f.relative_to(directory)) for f in directory.rglob("*") if f.is_file() and f.name != "SHA256SUMS")
    said = run(["sha256sum", *files], cwd=directory) + "\n"
    if write:
        (directory / "SHA256SUMS").write_text(said)
    return said
