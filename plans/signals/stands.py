"""What stands in the lab for things that cannot be had there, or are the team's own. Each is one server on loopback:

  broker PORT DIR     the REST proxy of the events' brokers: records by offset, from a file
  stream PORT DIR     the job that computes signals: reads the broker, writes ClickHouse, keeps its checkpoints in the object store
  trading PORT        trades, and records each trade in the audit database before it is done
  page PORT           shows how many signals there are
  keeper PORT         says that ClickHouse Keeper is ready
"""
import json
import os
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "lab"))
import lablib  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent / "bin"))
ENV = os.environ


def clickhouse(sql, data=None):
    url = f"{ENV['LAB_CH_URL']}/?{urllib.parse.urlencode({'query': sql})}"
    headers = {"X-ClickHouse-User": "dr", "X-ClickHouse-Key": ENV["LAB_PASSWORD"]}
    request = urllib.request.Request(url, data=(data or "").encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def records(offset, limit=500):
    url = f"http://{ENV['LAB_BOOTSTRAP']}/topics/events/partitions/0/records?offset={offset}&max_records={limit}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def serve(port, get=None, post=None):
    """A server whose answers are (status, JSON)."""
    class Door(lablib.Handler):
        def do_GET(self):
            self.say(get)

        def do_POST(self):
            self.say(post)

        def say(self, function):
            body = self.body()
            url = urllib.parse.urlsplit(self.path)
            if function is None:
                return self.answer(405, {"error": "no such method"})
            try:
                return self.answer(*function(url.path, dict(urllib.parse.parse_qsl(url.query)), json.loads(body) if body else {}))
            except Exception as why:  # noqa: BLE001  whatever it is, the client is to hear it
                return self.answer(503, {"error": str(why)})
    lablib.Server(("127.0.0.1", port), Door).serve_forever()


def broker(port, directory):
    lines = Path(directory) / "events.jsonl"

    def get(_path, query, _body):
        offset, most = int(query["offset"]), int(query.get("max_records", 5_000))
        found = lines.read_text().splitlines()[offset:offset + most]
        return 200, json.dumps([{"topic": "events", "key": None, "value": json.loads(line), "partition": 0, "offset": offset + i} for i, line in enumerate(found)]).encode()
    serve(port, get)


class Stream:
    """The job. Its state is the next offset; what is not in a checkpoint is gone with the process."""

    def __init__(self, directory):
        import boto3
        from botocore.config import Config
        quick = Config(s3={"addressing_style": "path"}, connect_timeout=2, read_timeout=2, retries={"total_max_attempts": 1})
        self.s3 = boto3.client("s3", endpoint_url=ENV["AWS_ENDPOINT_URL"], config=quick)
        self.bucket, self.file = ENV["LAB_CHECKPOINTS"], Path(directory) / "stream.json"
        self.lock = threading.Lock()
        self.running, self.offset, self.failed, self.counter = False, 0, None, 0

    def save(self, prefix):
        self.counter += 1
        body = json.dumps({"offset": self.offset}).encode()
        self.s3.put_object(Bucket=self.bucket, Key=f"{prefix}/{int(time.time() * 1000)}", Body=body)

    def newest(self):
        found = [o for prefix in ("checkpoints/", "savepoints/") for o in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])]
        if not found:
            raise LookupError("there is neither checkpoint nor savepoint")
        key = max(found, key=lambda o: o["Key"].rpartition("/")[2])["Key"]
        return json.loads(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())["offset"]

    def work(self):
        from replay import signal
        saved = 0
        while True:
            time.sleep(0.05)
            with self.lock:
                if not self.running:
                    continue
                try:
                    found = records(self.offset)
                    if found:
                        rows = "\n".join(json.dumps(signal(e)) for e in found)
                        clickhouse("insert into signals.minute format JSONEachRow", rows)
                        self.offset = found[-1]["offset"] + 1
                    self.failed = None
                    if time.monotonic() - saved > 1:
                        saved = time.monotonic()
                        self.save("checkpoints")
                except Exception as why:  # noqa: BLE001  it says so, and tries again
                    self.failed = str(why)

    def start(self, body):
        with self.lock:
            if not self.running:
                self.offset = self.newest() if body.get("state") == "newest" else 0
                self.running = True
        return 200, {"started": True}

    def stop(self, body):
        with self.lock:
            if self.running and body.get("savepoint"):
                self.save("savepoints")
            self.running = False
        return 200, {"stopped": True}

    def status(self):
        behind = len(records(self.offset))
        state = "RUNNING" if self.running and not self.failed else "FAILING" if self.running else "STOPPED"
        return 200, {"state": state, "behind": behind, "failed": self.failed, "saved": self.counter}


def stream(port, directory):
    job = Stream(directory)
    job.running = True
    threading.Thread(target=job.work, daemon=True).start()

    def post(path, _query, body):
        return {"/start": job.start, "/stop": job.stop}[path](body)
    serve(port, lambda *_: job.status(), post)


def trading(port):
    import psycopg2
    turn = threading.Lock()

    def connect():
        return psycopg2.connect(host="127.0.0.1", port=ENV["LAB_DB_PORT"], dbname="audit", user="app", password=ENV["LAB_PASSWORD"], connect_timeout=2)

    def entry(what):
        with turn:
            link = connect()
            try:
                with link, link.cursor() as cursor:
                    # The number is taken in the same transaction as the entry: there are no gaps.
                    cursor.execute("insert into entries (id, what) select coalesce(max(id), 0) + 1, %s from entries returning id", (what,))
                    return cursor.fetchone()[0]
            finally:
                link.close()

    def trade():
        while True:
            time.sleep(0.2)
            try:
                entry("trade")
            except psycopg2.Error:
                continue

    def get(*_):
        entry("health")
        return 200, {"audit": True}
    threading.Thread(target=trade, daemon=True).start()
    serve(port, get)


def page(port):
    serve(port, lambda *_: (200, {"rows": int(clickhouse("select count() from signals.minute"))}))


def keeper(port):
    serve(port, lambda *_: (200, {"status": "ok"}))


if __name__ == "__main__":
    {"broker": broker, "stream": stream, "trading": trading, "page": page, "keeper": keeper}[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
