"""The service of the lab: it finds the term for a label, and keeps a record of every answer.

  api PORT DB-PORT CH-URL     GET /health, GET /map?label=…; rows in PostgreSQL, answers in ClickHouse
"""
import os
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import psycopg2

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "lab"))
import lablib  # noqa: E402

PORT, DB_PORT, CH_URL = int(sys.argv[2]), sys.argv[3], sys.argv[4]


def rows(sql, *values):
    """What PostgreSQL says: the first row, or none."""
    link = psycopg2.connect(host="127.0.0.1", port=DB_PORT, dbname="records", user="app", password=os.environ["LAB_PASSWORD"], connect_timeout=2)
    try:
        with link, link.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchone()
    finally:
        link.close()


def answers(sql, **values):
    query = {"query": sql, **{f"param_{name}": value for name, value in values.items()}}
    headers = {"X-ClickHouse-User": "dr", "X-ClickHouse-Key": os.environ["LAB_PASSWORD"]}
    request = urllib.request.Request(f"{CH_URL}/?{urllib.parse.urlencode(query)}", data=b"", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode().strip()


def works(look):
    try:
        return bool(look())
    except (psycopg2.Error, OSError):
        return False


class Door(lablib.Handler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        try:
            if url.path == "/health":
                return self.health()
            if url.path == "/map":
                return self.map(urllib.parse.parse_qs(url.query)["label"][0])
        except (psycopg2.Error, KeyError) as why:
            return self.answer(503, {"error": str(why).strip()})
        return self.answer(404, {"error": "not found"})

    def health(self):
        health = {"postgresql": works(lambda: rows("select 1 from terms limit 1")),
                  "clickhouse": works(lambda: answers("select 1 from records.answers limit 1"))}
        self.answer(200 if all(health.values()) else 503, health)

    def map(self, label):
        found = rows("select term from terms where label = %s", label)
        if not found:
            return self.answer(404, {"error": f"no term for {label}"})
        number, = rows("insert into records (label, term) values (%s, %s) returning id", label, found[0])
        seen = None
        if works(lambda: answers("insert into records.answers (id, label, term) values ({id:UInt64}, {label:String}, {term:String})",
                                 id=time.time_ns(), label=label, term=found[0]) or True):
            seen = int(answers("select count() from records.answers where label = {label:String}", label=label))
        self.answer(200, {"label": label, "term": found[0], "record": number, "seen": seen})


if __name__ == "__main__":
    lablib.Server(("127.0.0.1", PORT), Door).serve_forever()
