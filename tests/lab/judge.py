"""Holds the writer's log against a database and prints, as JSON, what was lost and for how long nothing was taken.

usage: judge.py LAB_DIR [primary|standby|pitr|PORT]     (run by `lab judge`)

Without a second word it asks the database that users reach: that of the region to which the DNS record points.

  acknowledged         rows that the writer was told are written
  missing              of these, rows that are not in the database
  loss_seconds         from the acknowledgement of the oldest missing row to the incident (`incident.at`, written by
                       kill-primary and kill-region; without one, to that of the newest missing row); 0 if none is missing
  missing_span_seconds from the acknowledgement of the oldest missing row to that of the newest
  longest_gap_seconds  longest time between two acknowledgements that followed each other; by the monotonic clock
  open_gap_seconds     from the last acknowledgement to the last attempt: a gap that has not ended
  longest_gap          {"from", "to"} wall clock, and the addresses that acknowledged before and after it

It reads only. Rows that failed and are there all the same are counted (`unacknowledged_present`), not judged.
"""
import json
import os
import sys

import psycopg2

import lablib


def main():
    directory = sys.argv[1]
    env = lablib.read_env(directory)
    ports = {"primary": env["LAB_PRIMARY_PORT"], "standby": env["LAB_STANDBY_PORT"], "pitr": env["LAB_PITR_PORT"]}
    if len(sys.argv) > 2:
        port = ports.get(sys.argv[2], sys.argv[2])
    else:
        value = lablib.Resolver(env["AWS_ENDPOINT_URL"], {}).value(env["LAB_RECORD"]).rstrip(".")
        port = ports["primary" if value == env["LAB_LB_EAST"] else "standby"]

    acks, failed, last_attempt = [], set(), None
    with open(f"{directory}/writer.log", encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                break  # being written
            kind, note, wall, mono, rest = line.rstrip("\n").split(" ", 4)
            last_attempt = float(mono)
            if kind == "ack":
                acks.append((note, float(wall), float(mono), rest))
            else:
                failed.add(note)

    link = psycopg2.connect(host="127.0.0.1", port=port, dbname="platform", user="dr", password=env["LAB_DR_PASSWORD"],
                            application_name="judge", connect_timeout=5)
    link.set_session(readonly=True)
    with link.cursor() as cursor:
        runs = sorted({note.split(":")[0] for note, *_ in acks} | {note.split(":")[0] for note in failed})
        cursor.execute("select note from orders where split_part(note, ':', 1) = any(%s)", (runs,))
        present = [row[0] for row in cursor.fetchall()]
    link.close()

    there = set(present)
    missing = [ack for ack in acks if ack[0] not in there]
    incident = None
    if os.path.exists(f"{directory}/incident.at"):
        with open(f"{directory}/incident.at", encoding="utf-8") as file:
            incident = float(file.read())
    gap, between = 0.0, None
    for before, after in zip(acks, acks[1:]):
        if after[2] - before[2] > gap:
            gap, between = after[2] - before[2], (before, after)
    span = missing[-1][1] - missing[0][1] if missing else 0.0
    loss = 0.0
    if missing:
        loss = max(span, (incident or 0.0) - missing[0][1])
    print(json.dumps({
        "database_port": int(port),
        "acknowledged": len(acks),
        "failed": len(failed),
        "missing": len(missing),
        "present_twice": len(present) - len(there),
        "unacknowledged_present": len(there & failed),
        "incident": incident,
        "first_missing": missing[0][1] if missing else None,
        "last_missing": missing[-1][1] if missing else None,
        "loss_seconds": round(loss, 3),
        "missing_span_seconds": round(span, 3),
        "longest_gap_seconds": round(gap, 3),
        "longest_gap": between and {"from": between[0][1], "to": between[1][1],
                                    "address_before": between[0][3], "address_after": between[1][3]},
        "open_gap_seconds": round(last_attempt - acks[-1][2], 3) if acks else None,
        "last_acknowledged": acks[-1][1] if acks else None,
    }, indent=2))


if __name__ == "__main__":
    main()
