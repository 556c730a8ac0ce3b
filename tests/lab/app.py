"""The platform's HTTP app in one region, bound to that region's database.

usage: app.py     with REGION, PORT, DATABASE (HOST:PORT), IMAGE (what is behind its colon is the release), LAB_APP_PASSWORD

GET  /healthz  200 {"region", "release", "db": {"writable": true}} if its database takes a write right now (it writes
               and takes the write back), else 503 with "writable": false and why
GET  /livez    200 while the process runs, whatever the database does (what readiness is judged by)
GET  /         {"region", "release", "orders": COUNT}, 503 without a database
POST /orders   {"note": "..."}: 201 {"id"} after the commit, else 503; it is not retried here

No statement takes longer than two seconds: a database that is frozen, not dead, is not waited for.
"""
import json
import os
import queue
import select
import threading
import time

import psycopg2
import psycopg2.extensions

import lablib

LIMIT = 2.0
deadline = threading.local()


def wait(link):
    """psycopg2's wait callback: polls with a deadline."""
    while True:
        state = link.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        left = deadline.at - time.monotonic()
        want = ([link], []) if state == psycopg2.extensions.POLL_READ else ([], [link])
        if left <= 0 or not any(select.select(*want, [], left)):
            raise psycopg2.OperationalError(f"no answer from the database in {LIMIT:g} s")


psycopg2.extensions.set_wait_callback(wait)


class Database:
    """A few kept connections; one that failed is dropped."""

    def __init__(self, host, port, name):
        self.kept = queue.LifoQueue()
        self.dsn = dict(host=host, port=port, dbname="platform", user="app", application_name=name,
                        password=os.environ["LAB_APP_PASSWORD"])

    def run(self, work):
        """Runs work(cursor) in a transaction of its own; True from it means commit."""
        deadline.at = time.monotonic() + LIMIT
        link = None
        while link is None:
            try:
                link = self.kept.get_nowait()
            except queue.Empty:
                break
            if link.closed or select.select([link], [], [], 0)[0]:  # the server has ended it meanwhile
                link.close()
                link = None
        link = link or psycopg2.connect(**self.dsn)
        try:
            with link.cursor() as cursor:
                (link.commit if work(cursor) else link.rollback)()
        except Exception:
            link.close()
            raise
        self.kept.put(link)


class App(lablib.Handler):
    region = database = release = None

    def about(self, **more):
        return {"region": self.region, "release": self.release, **more}

    def do_GET(self):
        try:
            if self.path == "/livez":
                return self.answer(200, self.about())
            if self.path == "/healthz":
                self.database.run(lambda c: c.execute(
                    "update heartbeat set at = clock_timestamp() where region = %s", (self.region,)))
                return self.answer(200, self.about(db={"writable": True}))
            if self.path == "/":
                found = []

                def count(cursor):
                    cursor.execute("select count(*) from orders")
                    found.append(cursor.fetchone()[0])
                self.database.run(count)
                return self.answer(200, self.about(orders=found[0]))
            return self.answer(404, {"error": "not found"})
        except psycopg2.Error as error:
            return self.answer(503, self.about(db={"writable": False, "error": str(error).strip()}))

    def do_POST(self):
        body = self.body()
        if self.path != "/orders":
            return self.answer(404, {"error": "not found"})
        try:
            note, made = str(json.loads(body)["note"]), []
        except (ValueError, KeyError, TypeError):
            return self.answer(400, {"error": 'want {"note": "..."}'})

        def insert(cursor):
            cursor.execute("insert into orders (note, at) values (%s, clock_timestamp()) returning id", (note,))
            made.append(cursor.fetchone()[0])
            return True
        try:
            self.database.run(insert)
        except psycopg2.Error as error:
            return self.answer(503, self.about(error=str(error).strip()))
        return self.answer(201, {"id": made[0]})


if __name__ == "__main__":
    env = os.environ
    App.region, App.release = env["REGION"], env["IMAGE"].rpartition(":")[2]
    host, _, port = env["DATABASE"].rpartition(":")
    App.database = Database(host, int(port), f"platform-api-{App.region}")
    lablib.Server(("127.0.0.1", int(env["PORT"])), App).serve_forever()
