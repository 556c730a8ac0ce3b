"""A stand-in for Argo CD: its API, as far as one application needs it, over manifests that stand in for Git.

usage: argocd.py PORT LAB_DIR MANIFESTS     (token in LAB_ARGOCD_TOKEN)

GET  /healthz                                    200, without a token
GET  /api/v1/applications/platform-apps          how it stands: status.sync.status, status.health.status, status.operationState.phase
POST /api/v1/applications/platform-apps/sync     {"prune": true}: answers at once, and makes the cluster of context `dr` what
                                                 MANIFESTS say; with `prune` what was made by it and is there no more goes

True to the real one: a token is asked for (401), another application is not found (404), a sync while one runs is refused (400),
what it made has the label app.kubernetes.io/instance, it says Synced only if each field of each manifest is so in the cluster and
nothing else with that label is there, and Healthy only if all pods are ready. The cluster is changed by the real kubectl. It has
no Git, no projects, no waves, no hooks, and it syncs nothing by itself.
"""
import copy
import json
import subprocess
import sys
import threading
from pathlib import Path

import yaml

import lablib

APP = "/api/v1/applications/platform-apps"
LABEL = "app.kubernetes.io/instance"
KINDS = "deployments,services,configmaps"


def holds(wanted, there):
    """Whether everything that a manifest says is so."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(holds(value, there.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(there, list) and len(wanted) == len(there) and all(map(holds, wanted, there))
    return wanted == there


class Application:
    def __init__(self, place, manifests):
        self.kubectl = ["kubectl", f"--kubeconfig={place}/kubeconfig", "--context=dr"]
        self.manifests = Path(manifests)
        self.operation, self.lock = None, threading.Lock()

    def run(self, *words, text=None):
        done = subprocess.run([*self.kubectl, *words], input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout

    def wanted(self):
        """What Git says, with the label by which it is known again."""
        found = []
        for file in sorted(self.manifests.rglob("*.yaml")):
            found += [thing for thing in yaml.safe_load_all(file.read_text()) if thing]
        for thing in found:
            thing["metadata"].setdefault("labels", {})[LABEL] = "platform-apps"
        return found

    def live(self):
        """What is in the cluster of all that may be its own."""
        return json.loads(self.run("get", KINDS, "--output=json"))["items"]

    def status(self):
        live = {(thing["kind"], thing["metadata"]["name"]): thing for thing in self.live()}
        wanted = {(thing["kind"], thing["metadata"]["name"]): thing for thing in self.wanted()}
        own = {key for key, thing in live.items() if thing["metadata"].get("labels", {}).get(LABEL) == "platform-apps"}
        synced = own <= set(wanted) and all(key in live and holds(thing, live[key]) for key, thing in wanted.items())
        health = "Healthy"
        for key in wanted:
            if key not in live:
                health = "Missing"
            elif key[0] == "Deployment":
                pods, status = live[key]["spec"]["replicas"], live[key].get("status", {})
                newest = status.get("observedGeneration") == live[key]["metadata"]["generation"]
                if not newest or [status.get(k, 0) for k in ("replicas", "updatedReplicas", "readyReplicas")] != [pods] * 3:
                    health = "Progressing"
        with self.lock:
            operation = copy.copy(self.operation)
        status = {"sync": {"status": "Synced" if synced else "OutOfSync"}, "health": {"status": health}}
        return {"metadata": {"name": "platform-apps"}, "status": {**status, **({"operationState": operation} if operation else {})}}

    def begin(self, asked):
        """False if a sync runs."""
        with self.lock:
            if self.operation and self.operation["phase"] == "Running":
                return False
            self.operation = {"phase": "Running", "message": "", "operation": {"sync": asked}}
        threading.Thread(target=self.sync, args=(bool(asked.get("prune")),), daemon=True).start()
        return True

    def sync(self, prune):
        phase, message = "Succeeded", "successfully synced"
        try:
            wanted = self.wanted()
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted})
            words = ["--server-side", "--force-conflicts", "--field-manager=argocd-controller", "--validate=false"]
            self.run("apply", *words, "--filename=-", text=text)
            if prune:
                keep = {(thing["kind"], thing["metadata"]["name"]) for thing in wanted}
                for thing in self.live():
                    key = (thing["kind"], thing["metadata"]["name"])
                    if thing["metadata"].get("labels", {}).get(LABEL) == "platform-apps" and key not in keep:
                        self.run("delete", *key, "--wait=false")
        except (RuntimeError, OSError, yaml.YAMLError) as why:
            phase, message = "Failed", str(why)
        with self.lock:
            self.operation = {**self.operation, "phase": phase, "message": message}


class Door(lablib.Handler):
    application, token = None, ""

    def handle_call(self):
        body = self.body()
        if self.path == "/healthz":
            return self.answer(200, b"ok")
        if self.headers.get("Authorization") != f"Bearer {self.token}":
            return self.answer(401, {"error": "no session information", "code": 16, "message": "no session information"})
        try:
            if (self.command, self.path) == ("GET", APP):
                return self.answer(200, self.application.status())
            if (self.command, self.path) == ("POST", f"{APP}/sync"):
                if not self.application.begin(json.loads(body or b"{}")):
                    why = "another operation is already in progress"
                    return self.answer(400, {"error": why, "code": 9, "message": why})
                return self.answer(200, {"metadata": {"name": "platform-apps"}, "operation": {"sync": json.loads(body or b"{}")}})
        except (RuntimeError, OSError, ValueError) as why:
            return self.answer(500, {"error": str(why), "code": 13, "message": str(why)})
        return self.answer(404, {"error": "not found", "code": 5, "message": "not found"})

    do_GET = do_POST = handle_call


if __name__ == "__main__":
    env = lablib.read_env(sys.argv[2])
    Door.application, Door.token = Application(sys.argv[2], sys.argv[3]), env["LAB_ARGOCD_TOKEN"]
    lablib.Server(("127.0.0.1", int(sys.argv[1])), Door).serve_forever()
