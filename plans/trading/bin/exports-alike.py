#!/usr/bin/env python3
"""Whether the newest export in PLACE is whole, and says what the dashboards and rules at URL are now. TOKEN lets it in."""
import hashlib
import json
import os
import sys
import urllib.request
from pathlib import Path


def ask(path):
    request = urllib.request.Request(f"{os.environ['URL']}/{path}", headers={"Authorization": f"Bearer {os.environ['TOKEN']}"})
    with urllib.request.urlopen(request, timeout=10) as said:
        return json.load(said)


exports = sorted(d for d in Path(os.environ["PLACE"]).iterdir() if d.is_dir())
if not exports:
    sys.exit(f"there is no export in {os.environ['PLACE']}")
for what in ("dashboards", "rules"):
    here = exports[-1] / what
    sums = dict(reversed(line.split(maxsplit=1)) for line in (here / "SHA256SUMS").read_text().splitlines())
    found = {f.name: f.read_bytes() for f in here.glob("*.json")}
    if {name: hashlib.sha256(raw).hexdigest() for name, raw in found.items()} != sums:
        sys.exit(f"{here} is damaged")
    now = {name: ask(f"{what}/{name}") for name in ask(what)[what]}
    if missing := sorted(name for name in now if f"{name}.json" not in found or json.loads(found[f"{name}.json"]) != now[name]):
        sys.exit(f"{here} does not say what these are: {', '.join(missing)}")
    if not now:
        sys.exit(f"there are no {what}")
