#!/usr/bin/env python3
"""The service that takes orders, as its image holds it. usage: orders.py DISK SERVER PORT

An order is confirmed when the database has committed it, and the database does so when its synchronous standby has it too.
Sessions and positions are in the cache; without them nobody can order. Where both are, the configuration says.
"""
import http.server
import json
import socket
import sys
import threading
from pathlib import Path

import psycopg2

DISK, SERVER, PORT = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
CONFIG = json.loads((DISK / "config" / "config.json").read_text())
HERE = CONFIG["servers"][SERVER]
TURN = threading.Lock()


def database(statement, *values):
    # No time-out of a statement: one that ends the wait for the standby leaves a commit that only this server has.
    link = psycopg2.connect(host=HERE["host"], port=HERE["database"], dbname="orders", user="app", password=CONFIG["password"], connect_timeout=2)
    try:
        with link, link.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchone()[0]
    finally:
        link.close()


def cache(*words):
    """One answer of the cache: a text or a number."""
    with socket.create_connection((HERE["host"], HERE["cache"]), timeout=2) as link:
        said = link.makefile("rb")

        def ask(*parts):
            raw = [str(p).encode() for p in parts]
            link.sendall(b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(r), r) for r in raw))
            line = said.readline().rstrip()
            if line[:1] == b"-":
                raise OSError(line.decode())
            return said.read(int(line[1:]) + 2)[:-2] if line[:1] == b"$" and line != b"$-1" else line[1:]
        ask("AUTH", CONFIG["password"])
        return ask(*words).decode()


def health():
    database("update heartbeat set at = clock_timestamp() returning true")
    return {"writes": True, "sessions": int(cache("SCARD", "sessions"))}


def take(order):
    if not cache("SISMEMBER", "sessions", order["session"]) == "1":
        raise OSError(f"no session {order['session']}")
    number = database("insert into orders (id, ref, price) select coalesce(max(id), 0) + 1, %s, %s from orders returning id", order["ref"], order["price"])
    cache("HINCRBY", "positions", order["session"], 1)
    return {"id": number, "ref": order["ref"], "price": order["price"]}


class Door(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.say(health)

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.say(lambda: take(order))

    def say(self, function):
        try:
            with TURN:
                status, body = 200, {"server": SERVER, "release": CONFIG["release"], **function()}
        except (psycopg2.Error, OSError) as why:
            status, body = 503, {"writes": False, "why": str(why).strip()}
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Door).serve_forever()
