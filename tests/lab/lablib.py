"""What the lab's Python pieces share: a quiet HTTP server and the lab's "client DNS".

It does not start or stop anything; `lab` does.
"""
import http.client
import http.server
import json
import socket
import threading
import time
import urllib.parse


class Server(http.server.ThreadingHTTPServer):
    """Threaded, with a deep queue and threads that do not hold up the end."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass  # a client that went away is nothing to report


class Handler(http.server.BaseHTTPRequestHandler):
    """Whole answers in one write: two writes on a kept connection cost 40 ms."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def body(self):
        """The whole request body, also a chunked one."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts = []
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return b"".join(parts)
                parts.append(self.rfile.read(size))
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, body=b"", headers=None):
        """Sends one answer; a dict goes out as JSON."""
        headers = list((headers or {}).items()) if not isinstance(headers, list) else headers
        if isinstance(body, dict):
            body = (json.dumps(body) + "\n").encode()
            headers.append(("Content-Type", "application/json"))
        head = [f"HTTP/1.1 {status} {http.client.responses.get(status, '-')}"]
        names = {name.lower() for name, _ in headers}
        if "content-length" not in names and status not in (204, 304):
            headers.append(("Content-Length", str(len(body))))
        head += [f"{name}: {value}" for name, value in headers]
        raw = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")
        self.wfile.write(raw if self.command == "HEAD" else raw + body)

    def cut(self):
        """Ends the connection without an answer."""
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Resolver:
    """Looks a name up as a client does: asks the stub, keeps the answer for its TTL."""

    def __init__(self, endpoint, table):
        self.host = urllib.parse.urlsplit(endpoint).netloc
        self.table = table  # load balancer name -> host:port
        self.kept = {}
        self.lock = threading.Lock()

    def value(self, name):
        with self.lock:
            kept = self.kept.get(name)
            if kept and kept[1] > time.monotonic():
                return kept[0]
        link = http.client.HTTPConnection(self.host, timeout=2)
        try:
            link.request("GET", "/_dns?name=" + urllib.parse.quote(name))
            reply = link.getresponse()
            data = json.loads(reply.read())
        finally:
            link.close()
        if reply.status != 200:
            raise LookupError(f"no record for {name}")
        with self.lock:
            self.kept[name] = (data["value"], time.monotonic() + data["ttl"])
        return data["value"]

    def address(self, name):
        """The host:port where clients of `name` go now."""
        value = self.value(name).rstrip(".")
        if value not in self.table:
            raise LookupError(f"{name} points to {value}, where nothing listens")
        return self.table[value]


def read_env(directory):
    """DIR/env as a dict: lines `export KEY='value'`; the PATH line is left out."""
    env = {}
    with open(f"{directory}/env", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("export ") and not line.startswith("export PATH="):
                key, value = line[len("export "):].rstrip("\n").split("=", 1)
                env[key] = value.strip("'")
    return env


def load_balancers(env):
    """The fixed table of load balancer names and the addresses behind them."""
    return {
        env["LAB_LB_EAST"]: f"127.0.0.1:{env['LAB_APP_EAST_PORT']}",
        env["LAB_LB_WEST"]: f"127.0.0.1:{env['LAB_APP_WEST_PORT']}",
    }
