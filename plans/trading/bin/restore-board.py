#!/usr/bin/env python3
"""Brings WHAT (dashboards or rules) back from its newest export in PLACE: all files must have the checksums that were written beside
them; each is written by the API at URL, and read back. What is there and not in the export stays. TOKEN lets it in."""
import hashlib
import json
import os
import sys
import urllib.request
from pathlib import Path

what = os.environ["WHAT"]
exports = sorted(d for d in Path(os.environ["PLACE"]).iterdir() if d.is_dir())
if not exports:
    sys.exit(f"there is no export in {os.environ['PLACE']}")
here = exports[-1] / what
sums = dict(reversed(line.split(maxsplit=1)) for line in (here / "SHA256SUMS").read_text().splitlines())
files = {f.name: f.read_bytes() for f in here.glob("*.json")}
if not files or files.keys() != sums.keys():
    sys.exit(f"{here} does not hold what its list of checksums names")
for name, raw in files.items():
    if hashlib.sha256(raw).hexdigest() != sums[name]:
        sys.exit(f"{here / name} is damaged")


def ask(name, raw=None):
    url = f"{os.environ['URL']}/{what}/{name}"
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, raw, headers, method="PUT" if raw else "GET"), timeout=10) as said:
        return json.load(said)


for name, raw in sorted(files.items()):
    ask(name.removesuffix(".json"), raw)
    if ask(name.removesuffix(".json")) != json.loads(raw):
        sys.exit(f"{name} is not what was exported")
print(f"{len(files)} {what} of {exports[-1]}")
