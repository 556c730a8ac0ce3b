"""The lab of `plans/signals`: a real PostgreSQL with its archive, a real ClickHouse engine, objects in moto, kubectl against
the stand-in of an API server; broker, stream, trading and page are small servers of this folder (stands.py).
"""
import json
import subprocess
import time
from pathlib import Path

from house import PASSWORD, PG, PYTHON, House, Wrong, get, run, run_pg, until

PLAN = Path(__file__).resolve().parent
EVENTS = 2_000


class Lab(House):
    def up(self):
        self.objects()
        for bucket in ("audit-backups", "stream-checkpoints"):
            self.s3().create_bucket(Bucket=bucket)
        self.s3().put_bucket_versioning(Bucket="stream-checkpoints", VersioningConfiguration={"Status": "Enabled"})
        self.audit()
        self.clickhouse("signals-ch")
        self.file("events.jsonl").write_text("".join(
            json.dumps({"symbol": "ABCD"[i % 4], "price": 90 + i % 21, "at": time.time() - 3600 + i}) + "\n" for i in range(EVENTS)))
        self.env(LAB_PASSWORD=PASSWORD, LAB_DB_PORT=self.port("audit-db"), LAB_CH_URL=self.url("signals-ch"), LAB_BOOTSTRAP=self.at("broker"),
                 LAB_CHECKPOINTS="stream-checkpoints")
        self.stand("broker", self.dir)
        self.stand("keeper")
        self.ch("create database signals")
        self.ch("create table signals.minute (n UInt64, symbol String, value Float64) engine = ReplacingMergeTree order by n")
        self.stand("stream", self.dir)
        until("the stream has caught up", lambda: self.status()["behind"] == 0 and self.status()["saved"] > 0, 60)
        self.ch(f"backup table signals.minute to S3('{self.url('s3')}/audit-backups/signals/daily.tar')")
        self.kubernetes("trading", PLAN, jobs={"PGHOST": "127.0.0.1", "PGPORT": self.port("audit-db"), "PGUSER": "dr", "PGPASSWORD": PASSWORD,
                                               "PGDATABASE": "audit", "BUCKET": "audit-backups", "PGDATA": self.file("pg/audit-db"),
                                               "WAL": self.file("pg/audit-wal"),
                                               "RUN_AS": "setpriv --reuid=postgres --regid=postgres --init-groups --"})
        self.deployment("trading", "trading", 2, [PYTHON, PLAN / "stands.py", "trading", self.port("trading")])
        self.deployment("trading", "stream-release", 1, ["sleep", "infinity"], image="registry.example.com/stream:41", container="stream")
        self.stand("page")
        until("trading records what it does", lambda: get(self.url("trading") + "/healthz")[0] == 200)
        self.env(AUDIT_DB_PASSWORD=PASSWORD, SIGNALS_CH_PASSWORD=PASSWORD)
        self.param(db_host="127.0.0.1", db_port=self.port("audit-db"), ch_url=self.url("signals-ch"), keeper_url=self.url("keeper"),
                   flink_url=self.url("stream"), trading_url=self.url("trading"), ui_url=self.url("page"), bootstrap=self.at("broker"),
                   s3_endpoint=self.url("s3"), kubeconfig=str(self.file("kube/kubeconfig")), context="lab")

    def stand(self, name, *words):
        self.start(name, [PYTHON, PLAN / "stands.py", name, self.port(name), *words])
        self.ready(name, lambda: get(self.url(name) + "/topics/events/partitions/0/records?offset=0")[0])

    def audit(self):
        """The database, a base backup in the bucket, and an archive that follows."""
        self.pg_directory()
        run_pg(["mkdir", "-p", self.file("pg/archive")])
        self.postgres("audit-db", "archive_mode=on", f"archive_command=cp %p {self.file('pg/archive')}/%f", database="audit")
        self.sql("audit-db", "create table entries (id bigint primary key, what text not null, at timestamptz not null default clock_timestamp());"
                             "create table settings (name text primary key, value text); insert into settings values ('limit', '100');"
                             "grant all on entries, settings to app", database="audit")
        base = self.file("pg/base.tar")
        with open(base, "wb") as out:
            subprocess.run([f"{PG}/pg_basebackup", "-h", "127.0.0.1", "-p", str(self.port("audit-db")), "-U", "dr", "-D", "-", "-F", "tar", "-X", "fetch",
                            "-c", "fast"], stdout=out, check=True, env={"PGPASSWORD": PASSWORD})
        self.s3().upload_file(str(base), "audit-backups", "base/base.tar", ExtraArgs={"ServerSideEncryption": "aws:kms"})

    def ch(self, sql):
        return self.clickhouse_ask("signals-ch", sql)

    def status(self):
        return json.loads(get(self.url("stream") + "/status")[1])

    def checksum(self, last):
        rows = f"select md5(string_agg(concat(id, what, at), ',' order by id)) from entries where id <= {last}"
        return self.sql("audit-db", rows, database="audit")

    # ---- what can be lost

    def lose_audit_loss(self):
        """The last segment is archived, as it is within a minute; then the server dies and its volume is empty."""
        last = self.sql("audit-db", "select max(id) from entries", database="audit")
        self.file("witness.json").write_text(json.dumps({"last": last, "sum": self.checksum(last)}))
        self.sql("audit-db", "select pg_switch_wal()", database="audit")
        until("the log is archived", lambda: not list(self.file("pg/audit-db/pg_wal/archive_status").glob("*.ready")))
        for segment in sorted(self.file("pg/archive").iterdir()):
            self.s3().upload_file(str(segment), "audit-backups", f"wal/{segment.name}")
        self.kill("audit-db")
        run_pg(["rm", "-rf", self.file("pg/audit-db")])

    def lose_signals_loss(self):
        """The server's volume is gone; the operator has started an empty one."""
        self.kill("signals-ch")
        run(["rm", "-rf", self.file("ch/signals-ch")])
        self.clickhouse("signals-ch")
        self.ch("create database signals")

    def lose_signals_and_backup(self):
        self.s3().delete_object(Bucket="audit-backups", Key="signals/daily.tar")
        self.lose_signals_loss()

    def lose_checkpoints_lost(self):
        s3 = self.s3()

        def gone():
            """The stream goes on writing into it while it is emptied."""
            for found in s3.list_object_versions(Bucket="stream-checkpoints").get("Versions", []):
                s3.delete_object(Bucket="stream-checkpoints", Key=found["Key"], VersionId=found["VersionId"])
            try:
                return s3.delete_bucket(Bucket="stream-checkpoints")
            except s3.exceptions.ClientError:
                return None
        until("the bucket is gone", gone)

    def lose_upgrade(self):
        """Nothing is lost: it is planned."""

    # ---- what must be there afterwards

    def judge(self, scenario):
        wrong = []
        if scenario == "audit-loss":
            # What came after the last archived segment is lost: it may be, within the objective. Nothing before it is.
            known = json.loads(self.file("witness.json").read_text())
            if self.checksum(known["last"]) != known["sum"]:
                wrong.append(f"the first {known['last']} entries are not what they were")
        numbers = self.ch("select count(), sum(n), max(n) from signals.minute final").split("\t")
        if numbers != [str(EVENTS), str(sum(range(EVENTS))), str(EVENTS - 1)]:
            wrong.append(f"signals {numbers}")
        if get(self.url("trading") + "/healthz")[0] != 200:
            wrong.append("trading does not record")
        if self.status()["state"] != "RUNNING":
            wrong.append(f"stream {self.status()}")
        if wrong:
            raise Wrong("; ".join(wrong))

    def facts(self):
        """The same whichever way one got here."""
        return {
            "audit": self.sql("audit-db", "select count(*) > 0 and count(*) = max(id) - min(id) + 1, pg_is_in_recovery() from entries", database="audit"),
            "settings": self.sql("audit-db", "select name, value from settings order by 1", database="audit"),
            "signals": self.ch("select count(), sum(n), round(sum(value), 3) from signals.minute final"),
            "trading": self.replicas("trading", "trading"),
            "stream": self.status()["state"],
            "bucket": self.s3().get_bucket_versioning(Bucket="stream-checkpoints").get("Status"),
        }
