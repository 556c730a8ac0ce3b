"""What the stand-in of an API server (kubeapi.py) has none of: it runs what the containers of deployments and Jobs say.

usage: kubelet.py KUBE-DIR PLAN-DIR ENV.json

One process runs for a deployment of any size above 0, and none for one of size 0; its end is its restart. As long as it runs,
and answers its `readinessProbe` if it has one (httpGet), the deployment's pods become ready. A Job's container runs once; its
end is the Job's. A command that begins with `/plan/` stands in the plan's directory. Variables come from the
container, from the Secrets and ConfigMaps that it names, as they are when it starts, and IMAGE is its image; one that is not there
is an end at once, where a cluster would wait for it. Those of ENV.json count more: they stand for volumes and network, and where there
are any, for Secrets that are not there; `{"NAME": {…}}` are those of one workload alone: PORT is the one that a probe asks.
`KUBE-DIR/../log/NAME.log` keeps what each said (KUBELET_LOGS says what else stands before the name). What it started ends with it. It knows no images
and no volumes.
"""
import base64
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

KUBE, PLAN, GIVEN = Path(sys.argv[1]), sys.argv[2], json.loads(Path(sys.argv[3]).read_text())
CONFIG = json.loads((KUBE / "kubeconfig").read_text())
SERVER, TOKEN = CONFIG["clusters"][0]["cluster"]["server"], CONFIG["users"][0]["user"]["token"]
CONTEXT = ssl.create_default_context(cafile=str(KUBE / "ca.pem"))
LOGS = os.environ.get("KUBELET_LOGS", f"{KUBE.parent}/log/")
LINK = http.client.HTTPSConnection(urllib.parse.urlsplit(SERVER).netloc, context=CONTEXT, timeout=5)


class Refused(LookupError):
    """An answer that says no."""

    def __init__(self, path, code, said):
        super().__init__(f"{path}: {code} {said!r}")
        self.code = code


def ask(path, body=None):
    """Over one kept connection, which is made anew where it broke."""
    for last in (False, True):
        try:
            LINK.request("POST" if body else "GET", path, json.dumps(body) if body else None,
                         {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
            answer = LINK.getresponse()
            said = answer.read()
            if answer.status >= 300:
                raise Refused(path, answer.status, said)
            return json.loads(said)
        except (OSError, http.client.HTTPException):
            LINK.close()
            if last:
                raise
    return None


def given(name):
    """Variables of a workload that the cluster gives it."""
    return {**{k: v for k, v in GIVEN.items() if isinstance(v, str)}, **(GIVEN.get(name) if isinstance(GIVEN.get(name), dict) else {})}


def kept(kind, name, namespace):
    """What a Secret or a ConfigMap holds."""
    try:
        thing = ask(f"/api/v1/namespaces/{namespace}/{kind}s/{name}")
    except Refused as answer:
        if answer.code == 404 and GIVEN:
            return {}
        raise LookupError(f"{kind} {namespace}/{name}: {answer.code}") from None
    data = thing.get("data", {})
    return {key: base64.b64decode(value).decode() for key, value in data.items()} if kind == "secret" else data


def variables(container, namespace):
    """Those of a container; a key that is not there is one that it cannot start without."""
    found = {"IMAGE": container.get("image", "")}
    for source in container.get("envFrom", []):
        for key, kind in (("secretRef", "secret"), ("configMapRef", "configmap")):
            if key in source:
                found |= kept(kind, source[key]["name"], namespace)
    for one in container.get("env", []):
        found[one["name"]] = one.get("value", "")
        for key, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "configmap")):
            if ref := one.get("valueFrom", {}).get(key):
                values = kept(kind, ref["name"], namespace)
                if ref["key"] not in values and not ref.get("optional") and not GIVEN:
                    raise LookupError(f"{kind} {namespace}/{ref['name']} has no {ref['key']}")
                found[one["name"]] = values.get(ref["key"], "")
    return found


def log_of(name):
    return Path(f"{LOGS}{name}.log")


def start(name, namespace, pod):
    """The first container of a pod."""
    container = pod["containers"][0]
    argv = [w.replace("/plan/", f"{PLAN}/", 1) if w.startswith("/plan/") else w for w in container.get("command", []) + container.get("args", [])]
    try:
        env = variables(container, namespace)
    except LookupError as why:
        argv, env = ["/bin/sh", "-c", 'echo "$1"; exit 1', "sh", str(why)], {}
    with open(log_of(name), "ab") as log:
        return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                cwd="/", env={**os.environ, **env, **given(name)})


def answers(name, pod, process):
    """Whether it runs, and says that it is ready."""
    probe = pod["containers"][0].get("readinessProbe", {}).get("httpGet")
    if process.poll() is not None or not probe:
        return process.poll() is None
    link = http.client.HTTPConnection("127.0.0.1", int(given(name)["PORT"]), timeout=1)
    try:
        link.request("GET", probe["path"])
        return link.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()


def round_of_all(pods, jobs, ready):
    """Starts and ends what is to be started and ended; gives what answers."""
    wanted = {}
    for thing in ask("/apis/apps/v1/deployments")["items"]:
        if thing["spec"].get("replicas", 1) > 0:
            key = (thing["metadata"]["namespace"], thing["metadata"]["name"])
            wanted[key] = thing["spec"]["template"]
    for key, template in wanted.items():
        # What a restart changes stands in its annotations.
        form = json.dumps(template, sort_keys=True)
        if key in pods and pods[key][1] != form:
            end(pods.pop(key)[0])
            ready.discard(key)
        if key not in pods or pods[key][0].poll() is not None:
            pods[key] = (start(key[1], key[0], template["spec"]), form)
            ready.discard(key)
    for key in [k for k in pods if k not in wanted]:
        end(pods.pop(key)[0])
    # One that was ready once is asked no more as long as it runs.
    now = {key for key, (process, _) in pods.items() if key in ready and process.poll() is None or answers(key[1], wanted[key]["spec"], process)}
    for job in ask("/apis/batch/v1/jobs")["items"]:
        meta = job["metadata"]
        if job.get("status", {}).get("conditions"):
            continue
        if meta["uid"] not in jobs:
            jobs[meta["uid"]] = start(meta["name"], meta["namespace"], job["spec"]["template"]["spec"])
        elif (code := jobs[meta["uid"]].poll()) is not None:
            said = log_of(meta["name"]).read_text(errors="replace")
            ask("/_control", {"end": {"namespace": meta["namespace"], "name": meta["name"], "good": code == 0, "said": said}})
    return now


def main():
    pods, jobs, ready = {}, {}, None
    while True:
        try:
            now = round_of_all(pods, jobs, set(ready or ()))
            if now != ready:
                # From the first time on nothing is ready, and no Job ends, by itself.
                ask("/_control", {"answering": sorted(now), "jobs": "run"})
                ready = now
        except (OSError, LookupError, http.client.HTTPException) as why:
            print(why, file=sys.stderr, flush=True)  # what runs goes on running
        time.sleep(0.1)


def end(process):
    """As a pod is ended, and by force if it does not hear."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
