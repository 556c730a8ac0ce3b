"""What stands in the lab for things that cannot be had there, or are the team's own. Each is one server on loopback:

  servers PORT DIR         the agent of the servers: starts and stops their database, cache and order service
  edge PORT NAME TABLE     the way of customers: looks NAME up at the name server, and passes on; TABLE says which port an address is
  client PORT EDGE FILE    somebody who orders all day, and writes down what was confirmed
  board PORT FILE          dashboards and alert rules: list, read, write and delete them by HTTP
  metrics PORT DIR         the metrics store: its blocks are files
  audit PORT FILE PLACES   the audit log: each entry holds the digest of the one before it, and goes to each place at once
  registry PORT DIR        a registry of images: manifests by release, blobs by digest
  post PORT FILE           chat, pager and the office of compliance, which keep what they are told
"""
import hashlib
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "lab"))
import house  # noqa: E402
from house_stands import edge, passed, serve  # noqa: E402

ENV = os.environ


class Servers(house.House):
    """`/SERVER/SERVICE`: GET says whether it runs, PUT {"running": …} changes that. Processes are called SERVICE-SERVER."""

    def __init__(self, directory):
        super().__init__(directory)
        self.lock = threading.Lock()

    def answer(self, method, path, body, _headers):
        with self.lock:
            self.state = json.loads(self.file("house.json").read_text())
            server, service = path.strip("/").split("/")
            name = f"{service}-{server}"
            if name not in self.state["ports"]:
                return 404, {"error": f"no {service} on {server}"}
            if method == "PUT":
                given = json.loads(body)
                if given["running"] and not self.pid(name):
                    getattr(self, f"start_{service}")(name, server, given)
                elif not given["running"]:
                    self.stop(name, house.signal.SIGINT)
            return 200, {"server": server, "service": service, "running": self.pid(name) is not None}

    def start_database(self, name, _server, _given):
        self.pg_start(name, *json.loads(ENV["LAB_CONF"])[name])

    def start_cache(self, name, _server, given):
        self.redis(name, "--appendonly", given.get("append_only", "yes"), "--save", "300 1", "--appendfsync", "everysec")

    def start_orders(self, name, server, given):
        disk = self.file(f"srv/{server}")
        if image := given.get("image"):
            raw = house.get(image)[1].encode()
            if (found := hashlib.sha256(raw).hexdigest()) != image.rpartition(":")[2]:
                raise house.Wrong(f"{image} has digest {found}")
            disk.mkdir(parents=True, exist_ok=True)
            (disk / "orders.py").write_bytes(raw)
        self.start(name, [house.PYTHON, disk / "orders.py", disk, server, self.port(name)])

    def start_stand(self, name, server, *words):
        self.file(server).mkdir(exist_ok=True)
        self.start(name, [house.PYTHON, __file__, name.split("-")[0], self.port(name), *words])
        house.until(f"{name} answers", lambda: self.listens(name))

    def listens(self, name):
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", self.port(name))) == 0

    def start_board(self, name, server, _given):
        self.start_stand(name, server, self.file(f"{server}/board.json"))

    def start_metrics(self, name, server, _given):
        self.start_stand(name, server, self.file(f"{server}/metrics"))

    def start_audit(self, name, server, _given):
        places = (self.file(f"{place}/audit/audit.jsonl") for place in ("store", "store-south", "nas"))
        self.start_stand(name, server, self.file(f"{server}/audit/audit.jsonl"), *places)


def servers(port, directory):
    serve(port, Servers(directory).answer)


def client(port, way, file):
    """What was confirmed, with the time of the confirmation, one line each. What was not, is tried again by nobody."""
    count = [0]

    def work():
        with open(file, "a", buffering=1, encoding="utf-8") as book:
            while True:
                time.sleep(0.03)
                count[0] += 1
                order = {"ref": f"order-{count[0]}", "price": 10 + count[0] * 7 % 1009, "session": f"s{count[0] % 50}"}
                try:
                    status, body = passed(int(way), "POST", "/orders", json.dumps(order))
                except OSError:
                    continue
                if status == 200:
                    book.write(json.dumps({**json.loads(body), "at": time.time()}) + "\n")
    threading.Thread(target=work, daemon=True).start()
    serve(port, lambda *_: (200, {"tried": count[0]}))


def board(port, file):
    file, lock = Path(file), threading.Lock()

    def answer(method, path, body, headers):
        if headers.get("Authorization") != f"Bearer {ENV['LAB_BOARD_TOKEN']}":
            return 401, {"error": "no token"}
        with lock:
            kept = json.loads(file.read_text()) if file.exists() else {"dashboards": {}, "rules": {}}
            _, what, *name = path.split("/")
            if method == "GET":
                return (200, {what: sorted(kept[what])}) if not name else (200, kept[what][name[0]]) if name[0] in kept[what] else (404, {})
            if method == "PUT":
                kept[what][name[0]] = json.loads(body)
            elif method == "DELETE":
                kept[what].pop(name[0], None)
            file.write_text(json.dumps(kept))
            return 200, {"count": len(kept[what])}
    serve(port, answer)


def metrics(port, directory):
    def answer(*_):
        blocks = [json.loads(f.read_text()) for f in Path(directory).glob("*.block")]
        return 200, {"blocks": len(blocks), "samples": sum(len(b) for b in blocks)}
    serve(port, answer)


def audit(port, file, *places):
    """It goes on from what it finds, and starts with nothing only where nothing is."""
    file, lock = Path(file), threading.Lock()
    lines = file.read_text().splitlines() if file.exists() else []

    def add(what):
        with lock:
            before = hashlib.sha256(lines[-1].encode()).hexdigest() if lines else "0" * 64
            lines.append(json.dumps({"n": len(lines) + 1, "what": what, "at": time.time(), "before": before}))
            for place in (file, *map(Path, places)):
                with open(place, "a", encoding="utf-8") as log:
                    log.write(lines[-1] + "\n")

    def work():
        while True:
            time.sleep(0.1)
            add("somebody looked at a limit")
    threading.Thread(target=work, daemon=True).start()

    def answer(*_):
        with lock:
            return 200, {"count": len(lines), "head": hashlib.sha256(lines[-1].encode()).hexdigest() if lines else None}
    serve(port, answer)


def registry(port, directory):
    def answer(_method, path, *_):
        file = Path(directory) / path.rpartition("/")[2].removeprefix("sha256:")
        if not file.is_file():
            return 404, {"errors": [{"code": "MANIFEST_UNKNOWN"}]}
        raw = file.read_bytes()
        return 200, raw, {"Docker-Content-Digest": "sha256:" + (raw.decode().strip() if "/manifests/" in path else file.name)}
    serve(port, answer)


def post(port, file):
    def answer(method, path, body, _headers):
        if method == "POST":
            with open(file, "a", encoding="utf-8") as book:
                book.write(json.dumps({"to": path.strip("/"), "said": json.loads(body)}) + "\n")
        return 200, {}
    serve(port, answer)


if __name__ == "__main__":
    {"servers": servers, "edge": edge, "client": client, "board": board, "metrics": metrics, "audit": audit, "registry": registry, "post": post}[sys.argv[1]](*sys.argv[2:])
