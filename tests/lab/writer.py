"""The judge's witness: writes orders without a pause, as a client would, and keeps its own log of what was acknowledged.

usage: writer.py LAB_DIR [ROWS_PER_SECOND]     (run and stopped by `lab writer-start` and `lab writer-stop`)

Each row goes by POST /orders to the address that the DNS record gives (kept for its TTL). Its note is RUN:SEQUENCE,
unique for ever. A row is tried once. LAB_DIR/writer.log, outside every database, one line an attempt, flushed at once:
    ack  NOTE WALL_CLOCK MONOTONIC ADDRESS
    fail NOTE WALL_CLOCK MONOTONIC REASON...
with the time when the answer was there. A row that failed may still be in the database: nothing was promised of it.
"""
import http.client
import json
import os
import sys
import time
import uuid

import lablib


def main():
    directory = sys.argv[1]
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 100.0
    env = lablib.read_env(directory)
    resolver = lablib.Resolver(env["AWS_ENDPOINT_URL"], lablib.load_balancers(env))
    log = os.open(f"{directory}/writer.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    run, sequence, link, address = uuid.uuid4().hex[:12], 0, None, None
    due = time.monotonic()
    while True:
        sequence += 1
        note = f"{run}:{sequence}"
        try:
            now = resolver.address(env["LAB_RECORD"])
            if now != address:
                if link:
                    link.close()
                link, address = http.client.HTTPConnection(now, timeout=3), now
            link.request("POST", "/orders", json.dumps({"note": note}), {"Content-Type": "application/json"})
            reply = link.getresponse()
            reply.read()
            outcome = f"ack {note} {time.time():.6f} {time.monotonic():.6f} {address}" if reply.status == 201 else None
            reason = f"status {reply.status}"
        except (OSError, LookupError, ValueError, http.client.HTTPException) as error:
            outcome, reason = None, f"{type(error).__name__}: {error}"
            if link:
                link.close()  # it opens again with the next request
        if outcome is None:
            outcome = f"fail {note} {time.time():.6f} {time.monotonic():.6f} {reason}"
        os.write(log, (outcome.replace("\n", " ") + "\n").encode())
        due += 1 / rate
        pause = due - time.monotonic()
        if outcome.startswith("fail"):
            pause = max(pause, 0.02)
        if pause > 0:
            time.sleep(pause)
        else:
            due = time.monotonic()  # never catches up in a burst


if __name__ == "__main__":
    main()
