#!/usr/bin/python3
"""An executable that breaks the law that stands in BAD, and keeps the others."""
import json, os, signal, sys, time

BAD = os.environ.get("BAD", "")
DESCRIPTION = {
    "drplan": 1,
    "sentence": "Turn {file}",
    "effect": "verifiable",
    "undo": True,
    "fields": {"file": {"type": "text", "required": True, "doc": "the file"}, "key": {"type": "secret", "doc": "a key"}},
    "outputs": {"n": {"type": "int", "doc": "a number"}},
    "commands": [] if BAD == "describes" else [{"what": "Turn it", "argv": ["touch", "{file}"]}],
    "undo_commands": [{"what": "Turn it back", "argv": ["rm", "{file}"]}],
    "sample": {"file": "{dir}/bad"},
}


def answer(line):
    try:
        request = json.loads(line)
    except ValueError:
        if BAD != "garbage":
            return {"result": "refused", "why": "no JSON"}
        request = {"drplan": 1, "do": "nothing"}
        return {"result": "ok", "outputs": {"n": 1}}
    if request.get("drplan") != 1:
        return {"result": "refused", "why": "another version"}
    do = request["do"]
    if do == "describe":
        return {"result": "ok", "description": DESCRIPTION}
    path = request["with"]["file"]
    there = os.path.exists(path)
    if BAD == "secret":
        print(request["with"]["key"], file=sys.stderr)
    if do == "before":
        return {"result": "ok", "before": {}}
    if do == "probe":
        if BAD == "looks" and not there:
            open(path + ".looked", "w").close()
        if BAD == "there":
            return {"result": "not_there"}
        return {"result": "there", "outputs": {"n": 1}} if there else {"result": "not_there"}
    if do == "apply":
        with open(path, "a" if BAD == "twice" else "w") as file:
            file.write("on")
        return {"result": "ok", "outputs": {"n": "one" if BAD == "applies" else 1}}
    if do == "undo":
        if BAD == "undo twice" and not there:
            return {"result": "unknown", "why": "it is gone"}
        if there and BAD != "undo":
            os.remove(path)
        return {"result": "not_there"}
    return {"result": "refused", "why": "another word"}


print(json.dumps({"drplan": 1}), flush=True)
line = sys.stdin.readline()
if BAD == "ends" and '"timeout_ms":300' in line:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(15)
print(json.dumps(answer(line)))
