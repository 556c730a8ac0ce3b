#!/usr/bin/python3
"""An action of one's own in Python: a file holds a word. How it is spoken to: `drplan explain executables`."""
import json
import os
import sys

DESCRIPTION = {
    "drplan": 1,
    "sentence": "Write {word} into {file}",
    "seen": "the file holds the word",
    "effect": "verifiable",
    "undo": True,
    "fields": {
        "file": {"type": "text", "required": True, "doc": "the file"},
        "word": {"type": "text", "default": "on", "doc": "what it is to hold"},
        "token": {"type": "secret", "doc": "who asks for it"},
    },
    "outputs": {"bytes": {"type": "int", "doc": "how long the file is"}},
    "commands": [{"what": "Write the file", "argv": ["sh", "-c", 'printf %s "$WORD" > "$FILE"'], "env": {"FILE": "{file}", "WORD": "{word}"}}],
    "undo_commands": [{"what": "Remove the file, if it was not there before", "argv": ["rm", "--", "{file}"]}],
    "sample": {"file": "{dir}/flag"},
}


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def write(path, text):
    """Whole or not at all."""
    if text is None:
        os.remove(path)
        return
    with open(path + ".new", "w") as file:
        file.write(text)
        os.fsync(file.fileno())
    os.rename(path + ".new", path)


def probe(now, was, word):
    if now == word:
        return {"result": "there", "outputs": {"bytes": len(now.encode())}}
    if now == was:
        return {"result": "not_there"}
    return {"result": "other", "why": "somebody wrote another word"}


def answer(request):
    if request.get("drplan") != 1:
        return {"result": "refused", "why": "this version of the protocol is not known here"}
    do = request.get("do")
    if do == "describe":
        return {"result": "ok", "description": DESCRIPTION}
    path, word = request["with"]["file"], request["with"].get("word", "on")
    now, was = read(path), (request.get("before") or {}).get("word")
    if do == "before":
        return {"result": "ok", "before": {"word": now}}
    if do == "probe":
        return probe(now, was, word)
    if do == "apply":
        if now != word:
            write(path, word)
        return {"result": "ok", "outputs": {"bytes": len(word.encode())}}
    if do == "undo":
        found = probe(now, was, word)
        if found["result"] == "there":
            write(path, was)
            return {"result": "not_there"}
        return found
    return {"result": "refused", "why": "this word is not known here"}


def main():
    print(json.dumps({"drplan": 1}))
    try:
        result = answer(json.loads(sys.stdin.readline()))
    except (ValueError, KeyError, OSError) as error:
        result = {"result": "refused", "why": f"{type(error).__name__}: {error}"}
    print(json.dumps(result))


main()
