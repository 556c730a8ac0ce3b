"""ClickHouse and Redis of the lab: what is in them, what was backed up of it, and whether that is there again.

usage: stores.py DIR seed             fills those in the east, backs them up into both buckets as the plan says, notes what was in the
                                      backups (DIR/backed-up.json), and then writes more, which no backup has
       stores.py DIR away             fills those in the west with it, and writes a row and a key more
       stores.py DIR rows REGION      every row and every key of that region, as JSON; run by `lab rows`
       stores.py DIR judge REGION     the same held against what was in the backups: exit 1, and what differs; run by `lab judge-stores`

Backed up are all tables of database `gold`, and table `campaign_metrics` of `silver`; not its table `raw_events`.
"""
import http.client
import json
import re
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import lablib

DIR = sys.argv[1]
ENV = lablib.read_env(DIR)
CLICKHOUSE = {"us-east-1": ENV["LAB_CH_EAST_URL"], "us-west-2": ENV["LAB_CH_WEST_URL"]}
REDIS = {"us-east-1": ENV["LAB_REDIS_EAST_PORT"], "us-west-2": ENV["LAB_REDIS_WEST_PORT"]}
TABLES = ("gold.campaign_summary", "gold.revenue_daily", "silver.campaign_metrics")
BUCKETS = (ENV["LAB_BACKUP_BUCKET"], ENV["LAB_REPLICA_BUCKET"])


class Silent(Exception):
    """No answer, or one that says no."""


def request(method, url, body=None, headers=None):
    parts = urllib.parse.urlsplit(url)
    link = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        link.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers or {})
        answer = link.getresponse()
        said = answer.read()
    except OSError as why:
        raise Silent(str(why)) from None
    finally:
        link.close()
    if answer.status >= 300:
        raise Silent(f"{method} {url}: {answer.status} {said.decode(errors='replace')[:500]}")
    return said


def clickhouse(region, sql):
    headers = {"X-ClickHouse-User": "dr", "X-ClickHouse-Key": ENV["LAB_ANALYTICS_PASSWORD"]}
    return request("POST", f"{CLICKHOUSE[region]}/", sql.encode(), headers).decode()


def redis(region, *words):
    argv = ["redis-cli", "-h", "127.0.0.1", "-p", REDIS[region], *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False,
                          env={"PATH": "/usr/local/bin:/usr/bin:/bin", "REDISCLI_AUTH": ENV["LAB_CACHE_PASSWORD"]})
    if done.returncode or "error" in done.stdout.lower()[:40]:
        raise Silent(done.stdout + done.stderr)
    return done.stdout.strip()


def s3(method, path, body=None, **headers):
    known = "AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(method, f"{ENV['AWS_ENDPOINT_URL']}/{path}", body, {"Authorization": known, **more})


def keep(key, body):
    """An object of both buckets: S3 replicates from one to the other."""
    for bucket in BUCKETS:
        s3("PUT", f"{bucket}/{key}", body, x_amz_server_side_encryption="aws:kms", x_amz_server_side_encryption_aws_kms_key_id="alias/platform-backups")


def rows(region):
    """Table by table, key by key."""
    found = {}
    for table in TABLES:
        try:
            said = clickhouse(region, f"select * from {table} order by all format JSONEachRow")
            found[table] = [line for line in said.splitlines() if line]
        except Silent as why:
            found[table] = "not there" if "UNKNOWN_TABLE" in str(why) else "no answer"
    try:
        keys = sorted(redis(region, "keys", "*").split())
        told = redis(region, "mget", *keys).splitlines() if keys else []
        found["redis"] = [f"{key}={value}" for key, value in zip(keys, told)]
    except Silent:
        found["redis"] = "no answer"
    return found


def seed():
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for region in CLICKHOUSE:
        for database in ("gold", "silver"):
            clickhouse(region, f"create database {database}")
    east = "us-east-1"
    columns = {"gold.campaign_summary": "campaign UInt32, name String, revenue Float64",
               "gold.revenue_daily": "day Date, campaign UInt32, revenue Float64",
               "silver.campaign_metrics": "at DateTime, campaign UInt32, clicks UInt32",
               "silver.raw_events": "at DateTime, campaign UInt32"}
    values_of = {"gold.campaign_summary": "number, concat('campaign ', toString(number)), number * 1.5 from numbers({})",
                 "gold.revenue_daily": "toDate('2026-01-01') + number % 90, number, number * 0.25 from numbers({})",
                 "silver.campaign_metrics": "toDateTime('2026-01-01 00:00:00') + number * 60, number % 40, number % 7 from numbers({})",
                 "silver.raw_events": "toDateTime('2026-01-01 00:00:00') + number, number % 40 from numbers({})"}
    for table, columns_of in columns.items():
        clickhouse(east, f"create table {table} ({columns_of}) engine = MergeTree order by campaign")
        clickhouse(east, f"insert into {table} select {values_of[table].format('40, 400')}")
    redis(east, "mset", *[word for n in range(200) for word in (f"session:{n:03}", f"customer-{n * 7 % 50}")])
    known = rows(east)
    for database, tables in (("gold", "table gold.campaign_summary, table gold.revenue_daily"), ("silver", "table silver.campaign_metrics")):
        key = f"clickhouse/{database}/{stamp}.tar"
        clickhouse(east, f"backup {tables} to S3('{ENV['AWS_ENDPOINT_URL']}/{BUCKETS[0]}/{key}')")
        keep(key, s3("GET", f"{BUCKETS[0]}/{key}"))
    redis(east, "save")
    keep(f"redis/{stamp}.rdb", Path(DIR, "redis/primary/dump.rdb").read_bytes())
    Path(DIR, "backed-up.json").write_text(json.dumps(known))
    # What came after the backups is lost with the region.
    for table in TABLES:
        clickhouse(east, f"insert into {table} select {values_of[table].format('1000, 10')}")
    redis(east, "set", "session:late", "customer-1")


def away():
    west, known = "us-west-2", json.loads(Path(DIR, "backed-up.json").read_text())
    listed = s3("GET", f"{BUCKETS[1]}?list-type=2&prefix=clickhouse/").decode()
    for key in re.findall("<Key>([^<]*)</Key>", listed):
        tables = ", ".join(f"table {t}" for t in TABLES if t.startswith(key.split("/")[1] + "."))
        clickhouse(west, f"restore {tables} from S3('{ENV['AWS_ENDPOINT_URL']}/{BUCKETS[1]}/{key}')")
    clickhouse(west, "insert into silver.campaign_metrics values ('2026-02-01 00:00:00', 1, 1)")
    redis(west, "mset", *[word for pair in known["redis"] for word in pair.split("=")], "session:west", "customer-2")


def judge(region):
    known, found = json.loads(Path(DIR, "backed-up.json").read_text()), rows(region)
    wrong = {}
    for what, wanted in known.items():
        if isinstance(found[what], str):
            wrong[what] = found[what]
        elif wanted != found[what]:
            missing, more = sorted(set(wanted) - set(found[what])), sorted(set(found[what]) - set(wanted))
            wrong[what] = {"rows": len(found[what]), "missing": len(missing), "more": len(more), "first": (missing + more)[:2]}
    print(json.dumps({"region": region, "rows": {what: len(wanted) for what, wanted in known.items()}, "wrong": wrong}, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    verb = sys.argv[2]
    if verb == "seed":
        seed()
    elif verb == "away":
        away()
    elif verb == "rows":
        print(json.dumps(rows(sys.argv[3]), indent=1))
    else:
        sys.exit(judge(sys.argv[3]))
