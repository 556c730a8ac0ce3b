#!/usr/bin/env python3
"""The service that trades, as it lies in Git: the lab makes a repository of this file. usage: trading.py DISK REGION PORT

It takes orders, writes each trade to PostgreSQL and a signal to SQLite, and refuses to start without its configuration, its
signals and its secrets.
"""
import http.server
import json
import sqlite3
import sys
import threading
from pathlib import Path

import psycopg2

DISK, REGION, PORT = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
CONFIG = json.loads((DISK / "config" / "config.json").read_text())
KEYS = json.loads((DISK / "secrets" / "keys.json").read_text())
RELEASE = (Path(__file__).parent / "RELEASE").read_text().strip()
DATABASE = CONFIG["databases"][REGION]
TURN = threading.Lock()


def trade(price, keep):
    """The next trade; its number is taken in the same transaction, so that there are no gaps."""
    link = psycopg2.connect(host=DATABASE["host"], port=DATABASE["port"], dbname="trading", user="app", password=KEYS["db_password"], connect_timeout=2)
    try:
        with link.cursor() as cursor:
            cursor.execute("insert into trades (id, price) select coalesce(max(id), 0) + 1, %s from trades returning id", (price,))
            number = cursor.fetchone()[0]
        if keep:
            link.commit()
        return number
    finally:
        link.close()


def signals(statement, *values):
    link = sqlite3.connect(f"file:{DISK}/signals.db?mode=rw", uri=True, timeout=5)
    try:
        with link:
            return link.execute(statement, values).fetchone()
    finally:
        link.close()


class Door(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.say(lambda: {"writes": bool(trade(1, keep=False)), "signals": signals("select count(*) from signals")[0]})

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def take():
            number = trade(order["price"], keep=True)
            signals("insert into signals (value) values (?)", order["price"])
            return {"id": number, "price": order["price"]}
        self.say(take)

    def say(self, function):
        try:
            with TURN:
                status, body = 200, {"region": REGION, "release": RELEASE, **function()}
        except (psycopg2.Error, sqlite3.Error) as why:
            status, body = 503, {"writes": False, "why": str(why).strip()}
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


signals("select count(*) from signals")
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Door).serve_forever()
