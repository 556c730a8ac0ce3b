"""ClickHouse's own engine (chdb-core) behind as much of its HTTP interface as drplan's actions use.

    clickhouse.py PORT DIR USER PASSWORD

Backups lie in DIR/backups, or in an object store: LAB_CLICKHOUSE_S3 says `ENDPOINT KEY SECRET`, LAB_CLICKHOUSE_COLLECTIONS is JSON
of named collections. What a server has and this has not: clusters, users but the one, the native protocol. As the real one it
refuses to write what comes by GET, gives an exception its status and its code in a header, and reads parameters (`param_NAME`) escaped.
"""

import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse
from xml.sax.saxutils import escape

import chdb

PORT, DIR, USER, PASSWORD = int(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3], sys.argv[4]
LOOKS = ("select", "show", "describe", "exists", "explain", "with")
STATUS = {"516": 403, "60": 404, "62": 400, "81": 404}

os.makedirs(f"{DIR}/backups", exist_ok=True)
objects = ""
if "LAB_CLICKHOUSE_S3" in os.environ:
    endpoint, key, secret = os.environ["LAB_CLICKHOUSE_S3"].split(" ")
    objects = f"<s3><lab><endpoint>{endpoint}</endpoint><access_key_id>{key}</access_key_id><secret_access_key>{secret}</secret_access_key></lab></s3>"
collections = "".join(f"<{name}>{''.join(f'<{key}>{escape(value)}</{key}>' for key, value in keys.items())}</{name}>"
                      for name, keys in json.loads(os.environ.get("LAB_CLICKHOUSE_COLLECTIONS", "{}")).items())
with open(f"{DIR}/config.xml", "w") as config:
    config.write(f"<clickhouse><backups><allowed_path>{DIR}/backups/</allowed_path></backups>{objects}"
                 f"<named_collections>{collections}</named_collections></clickhouse>")
engine = chdb.connect(f"{DIR}/db?config-file={DIR}/config.xml")
one_at_a_time = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, code=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-ClickHouse-Summary", "{}")
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, said):
        code = (re.search(r"Code: (\d+)", said) or [None, "1000"])[1]
        self.answer(STATUS.get(code, 500), said.encode(), code)

    def ask(self):
        asked = {name: values[-1] for name, values in parse_qs(urlparse(self.path).query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if (self.headers.get("X-ClickHouse-User"), self.headers.get("X-ClickHouse-Key")) != (USER, PASSWORD):
            return self.refuse("Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")
        sql = f"{asked.get('query', '')} {body}".strip()
        if self.command == "GET" and not sql.lower().startswith(LOOKS):
            return self.refuse("Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)")
        params = {name[6:]: value for name, value in asked.items() if name.startswith("param_")}
        try:
            with one_at_a_time:
                engine.query("use `" + self.headers.get("X-ClickHouse-Database", "default").replace("`", "\\`") + "`")
                found = engine.query(sql, asked.get("default_format", "TabSeparated"), params=params or None)
            self.answer(200, bytes(found.bytes()) if found is not None and hasattr(found, "bytes") else str(found or "").encode())
        except Exception as e:  # noqa: BLE001: whatever the engine says is its answer
            self.refuse(str(e))

    do_GET = do_POST = ask


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
