#!/usr/bin/python3
"""A web server and a mail server that keep what they are sent, and fail as they are told.

The web server does what the path says; everything that it was sent is at /_sent:
  /status/N      answers with status N            /echo    gives the request back
  /once          does something, once for each Idempotency-Key, and says how often it did: {"done": n}
  /lost          does it, and hangs up without an answer        /late/MS  answers after that time
  /cut           hangs up in the middle of its answer           /silent   never answers
  /huge          a JSON body of 2 MiB             /garbage  answers, and not in HTTP
  /elsewhere     a redirect to /status/200        /switch   PUT sets it, GET gives it
  /locked        the same, behind a token         /heard    takes a message
The mail server goes by the receiver: refused@ 550, later@ 451, full@ 552 for the text, lost@ takes it and hangs up. Nobody
needs to say who they are; who does must be `mailer` and know the password.

Its first line of output is {"http": port, "smtp": port}. It ends when its standard input does.
"""
import asyncio, json, os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.smtp import SMTP, AuthResult

sent, mails, keys, switch, lock = [], [], {}, {"on": False}, threading.Lock()


class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        readline = self.rfile.readline
        def remembered(*args):
            self.last = readline(*args)
            return self.last
        self.rfile.readline = remembered

    def parse_request(self):
        # Half a request asks for nothing: its head ends with an empty line.
        return super().parse_request() and self.last in (b"\r\n", b"\n")

    def answer(self, status, value, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def raw(self, data):
        self.wfile.write(data)
        self.close_connection = True

    def go(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        if len(body.encode()) < length:
            self.close_connection = True
            return  # Half a request asks for nothing.
        request = {"method": self.command, "path": self.path, "body": body, "headers": {k.lower(): v for k, v in self.headers.items()}}
        word, _, rest = self.path.split("?")[0].lstrip("/").partition("/")
        if word == "_sent":
            return self.answer(200, sent)
        if word == "_mails":
            return self.answer(200, mails)
        if word == "_reset":
            with lock:
                sent.clear(), mails.clear(), keys.clear(), switch.update(on=False)
            return self.answer(200, {})
        with lock:
            sent.append(request)
        if word == "status":
            self.answer(int(rest), {"status": int(rest)})
        elif word == "echo":
            self.answer(200, request)
        elif word in ("once", "lost"):
            with lock:
                keys.setdefault(self.headers.get("Idempotency-Key") or f"none {len(keys)}", True)
            if word == "lost":
                return self.raw(b"")
            self.answer(200, {"done": len(keys)})
        elif word == "late":
            time.sleep(int(rest) / 1000)
            self.answer(200, {})
        elif word == "cut":
            self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        elif word == "silent":
            while self.rfile.read(1):
                pass
        elif word == "huge":
            self.answer(200, b'{"ok":true,"x":"' + b"x" * (2 << 20) + b'"}')
        elif word == "heard":
            good = self.headers.get("Authorization") in (None, "Bearer lab-token-7c1e")
            if not good:
                with lock:
                    sent.remove(request)
            self.answer(204 if good else 401, b"")
        elif word == "garbage":
            self.raw(b"\x00\x01 220 this is no web server\r\n\r\n")
        elif word == "elsewhere":
            self.answer(302, {}, Location="/status/200")
        elif word in ("switch", "locked"):
            if word == "locked" and self.headers.get("Authorization") != "Bearer lab-token-7c1e":
                return self.answer(401, {"error": "who are you?"})
            if self.command == "PUT":
                switch.update(json.loads(body))
            self.answer(200, switch)
        else:
            self.answer(404, {"error": "no such page"})

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = go


class Mails:
    async def handle_RCPT(self, server, session, envelope, address, options):
        word = address.split("@")[0]
        if word == "refused":
            return "550 no such mailbox: " + address
        if word == "later":
            return "451 come back later"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        words = [to.split("@")[0] for to in envelope.rcpt_tos]
        if "full" in words:
            return "552 the mailbox is full"
        mails.append({"from": envelope.mail_from, "to": envelope.rcpt_tos, "text": envelope.content.decode()})
        if "lost" in words:
            server.transport.abort()
        return "250 taken"


def known(server, session, envelope, mechanism, given):
    good = (given.login, given.password) == (b"mailer", b"lab-mail-password-3b90")
    return AuthResult(success=good, handled=False)


async def mail(ready):
    each = lambda: SMTP(Mails(), authenticator=known, auth_require_tls=False)
    server = await asyncio.get_running_loop().create_server(each, "127.0.0.1", 0)
    ready(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def main():
    web = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=web.serve_forever, daemon=True).start()

    def ready(smtp):
        print(json.dumps({"http": web.server_port, "smtp": smtp}), flush=True)

    threading.Thread(target=lambda: asyncio.run(mail(ready)), daemon=True).start()
    sys.stdin.read()
    os._exit(0)


main()
