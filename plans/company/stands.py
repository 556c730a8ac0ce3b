"""What stands in the lab for things that cannot be had there, or are the team's own. Each is one server on loopback:

  machines PORT DIR            the provider's API: machines, their services, network and snapshots
  accounts PORT REGION DBPORT  the users' service
  balancer PORT DOOR TABLE     a load balancer: asks each instance, sends users on from DOOR; its API at PORT
  edge PORT NAME TABLE         the way of people: looks NAME up at the name server, and passes on; TABLE says which port an address is
  client PORT EDGE FILE WHAT   somebody who orders, or signs up, all day, and writes down what was confirmed
  shipper PORT DIR             brings each piece of the trading database's log from its archive to the object store
  post PORT SMTP FILE          chat, status page and mail server, which keep what they are told
"""
import json
import os
import shutil
import socketserver
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "lab"))
import house  # noqa: E402
from house_stands import edge, passed, serve  # noqa: E402

ENV = os.environ


# ---- machines


class Machines(house.House):
    """Each machine has one service; its disk is a directory: `pg/NAME` of a database server, `srv/NAME` of any other."""

    IMAGES = {"postgres": "pg", "trading": "srv", "accounts": "srv"}

    def __init__(self, directory):
        super().__init__(directory)
        self.lock = threading.Lock()
        self.book = self.file("machines.json")

    def machines(self):
        return json.loads(self.book.read_text()) if self.book.exists() else {}

    def write(self, machines):
        self.book.write_text(json.dumps(machines))

    def disk(self, name, machine):
        return self.file(f"{self.IMAGES[machine['image']]}/{name}")

    def answer(self, method, path, body, _headers):
        with self.lock:
            self.state = json.loads(self.file("house.json").read_text())
            words, given, machines = path.strip("/").split("/"), json.loads(body or b"{}"), self.machines()
            if words == ["machines"]:
                return 200, {name: self.told(name, m) for name, m in machines.items()}
            name, rest = words[1], words[2:]
            if not rest and method == "PUT":
                return self.make(machines, name, given["image"])
            if name not in machines:
                return 404, {"error": f"no machine {name}"}
            machine = machines[name]
            if rest and method == "PUT":
                {"services": self.service, "network": self.network, "snapshots": self.snapshot}[rest[0]](name, machine, rest[1:], given)
                self.write(machines)
            return 200, self.told(name, machine)

    def told(self, name, machine):
        runs = machine["attached"] and self.pid(name) is not None
        return {"name": name, "image": machine["image"], "state": "running" if machine["attached"] else "isolated", "service": "running" if runs else "stopped"}

    def make(self, machines, name, image):
        """A machine of that name, new and clean unless it is there and on the network."""
        if name in machines and machines[name]["attached"]:
            return 200, self.told(name, machines[name])
        machines[name] = {"image": image, "attached": True}
        if image == "postgres":
            self.postgres(name, database="trading" if name.startswith(("trading", "spare")) else "users")
        else:
            self.disk(name, machines[name]).mkdir(parents=True)
        self.write(machines)
        return 200, self.told(name, machines[name])

    def service(self, name, machine, words, given):
        if not machine["attached"]:
            raise house.Wrong(f"{name} is off the network")
        if given["running"] and not self.pid(name):
            region = "east" if name.endswith("1") else "west"
            if words[0] == "postgres":
                self.pg_start(name, *json.loads(ENV["LAB_CONF"]).get(name, []))
            elif words[0] == "trading":
                self.start(name, [house.PYTHON, self.disk(name, machine) / "code/trading.py", self.disk(name, machine), region, self.port(name)])
            else:
                self.start(name, [house.PYTHON, __file__, "accounts", self.port(name), region, self.port(f"user-db-{name[-1]}")])
        elif not given["running"]:
            self.stop(name, house.signal.SIGINT)

    def network(self, name, machine, _words, given):
        """Off the network: nothing of it runs any more, and its disk is put aside."""
        if machine["attached"] and not given["attached"]:
            self.kill(name)
            if self.disk(name, machine).exists():
                self.file("evidence").mkdir(exist_ok=True)
                self.disk(name, machine).rename(self.file(f"evidence/{name}"))
        machine["attached"] = given["attached"]

    def snapshot(self, name, machine, words, _given):
        kept = self.file(f"snapshots/{name}/{words[0]}")
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            if self.disk(name, machine).exists():
                shutil.copytree(self.disk(name, machine), kept, symlinks=True)
            else:
                kept.mkdir()


# ---- the users' service and the way to it


def accounts(port, region, database):
    import psycopg2
    turn = threading.Lock()

    def answer(method, _path, body, _headers):
        with turn:
            link = psycopg2.connect(host="127.0.0.1", port=database, dbname="users", user="app", password=ENV["LAB_PASSWORD"], connect_timeout=2)
            try:
                with link.cursor() as cursor:
                    who = json.loads(body)["name"] if method == "POST" else "nobody"
                    # Each region writes its own part: nothing of one can meet something of the other.
                    cursor.execute("insert into accounts (id, region, name) select coalesce(max(id), 0) + 1, %s, %s from accounts where region = %s"
                                   " returning id", (region, who, region))
                    number = cursor.fetchone()[0]
                if method == "POST":
                    link.commit()
            finally:
                link.close()
        return 200, {"writes": True, "region": region, "id": number, "name": who}
    serve(port, answer)


def balancer(port, door, table):
    """Instances are asked five times a second; who does not answer well gets nobody any more."""
    instances, pool, well, turn = json.loads(table), {}, {}, [0]
    pool.update({name: True for name in instances})

    def look(name, at):
        while True:
            try:
                well[name] = passed(at, "GET", "/healthz", None)[0] == 200
            except OSError:
                well[name] = False
            time.sleep(0.2)
    for name, at in instances.items():
        threading.Thread(target=look, args=(name, at), daemon=True).start()

    def on(method, path, body, _headers):
        ready = [name for name in instances if pool[name] and well.get(name)]
        if not ready:
            return 503, {"error": "no instance is well"}
        turn[0] += 1
        return passed(instances[ready[turn[0] % len(ready)]], method, path, body)

    def api(method, path, body, _headers):
        if method == "PUT":
            pool[path.split("/")[2]] = json.loads(body)["in"]
        return 200, {name: "out" if not pool[name] else "up" if well.get(name) else "down" for name in instances}
    threading.Thread(target=serve, args=(int(door), on), daemon=True).start()
    serve(port, api)


def client(port, way, file, what):
    """What was confirmed, with the time of the confirmation, one line each."""
    count, stop = [0], threading.Event()

    def work():
        with open(file, "a", buffering=1, encoding="utf-8") as book:
            while not stop.is_set():
                time.sleep(0.05)
                count[0] += 1
                value = {"price": 10 + count[0] * 7 % 1009} if what == "orders" else {"name": f"user-{count[0]}"}
                try:
                    status, body = passed(way, "POST", f"/{what}", json.dumps(value))
                except OSError:
                    continue
                if status == 200:
                    book.write(json.dumps({**json.loads(body), "at": time.time()}) + "\n")
    threading.Thread(target=work, daemon=True).start()
    serve(port, lambda *_: (200, {"tried": count[0]}))


def post(port, smtp, file):
    def keep(what, text):
        with open(file, "a", encoding="utf-8") as book:
            book.write(json.dumps({"to": what, "said": text}) + "\n")

    class Mail(socketserver.StreamRequestHandler):
        def handle(self):
            def say(line):
                self.wfile.write(f"{line}\r\n".encode())
            say("220 lab")
            whom = ""
            while line := self.rfile.readline().decode().strip():
                word = line.split(" ")[0].upper()
                if word == "RCPT":
                    whom = line.partition("<")[2].partition(">")[0]
                if word == "DATA":
                    say("354 go on")
                    text = []
                    while (part := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        text.append(part)
                    keep(whom, "\n".join(text))
                say("221 bye" if word == "QUIT" else "250 ok")
                if word == "QUIT":
                    return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address = True, True
    threading.Thread(target=Server(("127.0.0.1", int(smtp)), Mail).serve_forever, daemon=True).start()

    def answer(method, path, body, _headers):
        if method == "POST":
            keep(path.strip("/"), json.loads(body))
        return 200, {}
    serve(port, answer)


def shipper(port, archive):
    import boto3
    from botocore.config import Config
    s3 = boto3.client("s3", endpoint_url=ENV["AWS_ENDPOINT_URL"], region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))
    done = set()

    def new():
        return [f for f in sorted(Path(archive).iterdir()) if f.name not in done and not f.name.endswith(".locked")]

    def work():
        while True:
            for piece in new():
                # A piece that is still being copied would be a short one.
                if "." not in piece.name and piece.stat().st_size % 1048576:
                    continue
                for bucket in ("company-backups-east", "company-backups-west"):
                    s3.upload_file(str(piece), bucket, f"trading/log/{piece.name}", ExtraArgs={"ServerSideEncryption": "aws:kms"})
                done.add(piece.name)
            time.sleep(0.1)
    threading.Thread(target=work, daemon=True).start()
    serve(port, lambda *_: (200, {"waiting": len(new())}))


def machines(port, directory):
    serve(port, Machines(directory).answer)


if __name__ == "__main__":
    {"machines": machines, "accounts": accounts, "balancer": balancer, "edge": edge, "client": client, "post": post, "shipper": shipper}[sys.argv[1]](int(sys.argv[2]), *map(lambda w: int(w) if w.isdigit() else w, sys.argv[3:]))
