"""A stand-in for a Kubernetes API server, which the real kubectl drives.

usage: kubeapi.py DIR TOKEN [PORT]

It answers on a free port of loopback by TLS, with a certificate that it makes in DIR; at last it writes DIR/kubeconfig, with a
context `east` in namespace `shop`, and DIR/port. It ends with the process that started it. With PORT it answers there, and keeps
its objects in DIR/objects.json: killed and started again, it has them. True to the real one in what recovery depends on: a token is asked for, versions of objects and conflicts, generations, dry runs, merge,
strategic and JSON patches with their tests, server-side apply, deployments and stateful sets that become ready pod by
pod, Jobs that run and end. There is no authorisation, no pod that runs, no admission, no garbage collection.

POST /_control  JSON, any of:
  {"steady": false}         workloads do not become ready any more;  true: they do again
  {"answering": [["NAMESPACE", "NAME"], …]}   these workloads alone become ready, and are so, from now on: somebody runs them who knows
  {"jobs": "fail"}          Jobs end so from now on: "complete", "fail", "run" (never)
  {"end": {"namespace", "name", "good", "said"}}   a Job's container ended, and said that
  {"meddle": {"path": "/apis/…", "patch": {…}}}   somebody changes an object, just now, by a merge patch
  {"meddle_next": {…}}      the same, right before the next change that arrives
  {"lose_reply": N}         the next N changes are done, and the connection is cut
  {"break": N}              the next N changes are done, then answered with 500
  {"throttle": N}           the next N calls are answered with 429, nothing done
  {"garbage": N}            the next N reads of objects are answered with no JSON
GET  /_control  how many changes arrived, of them dry runs, and every path that changed something
"""
import copy
import datetime
import json
import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
import zlib

import lablib

NAMESPACED, CLUSTER = True, False
#: group, version, plural, kind, namespaced, short names
RESOURCES = [
    ("", "v1", "namespaces", "Namespace", CLUSTER, ["ns"]),
    ("", "v1", "nodes", "Node", CLUSTER, ["no"]),
    ("", "v1", "pods", "Pod", NAMESPACED, ["po"]),
    ("", "v1", "services", "Service", NAMESPACED, ["svc"]),
    ("", "v1", "configmaps", "ConfigMap", NAMESPACED, ["cm"]),
    ("", "v1", "secrets", "Secret", NAMESPACED, []),
    ("apps", "v1", "deployments", "Deployment", NAMESPACED, ["deploy"]),
    ("apps", "v1", "statefulsets", "StatefulSet", NAMESPACED, ["sts"]),
    ("apps", "v1", "replicasets", "ReplicaSet", NAMESPACED, ["rs"]),
    ("batch", "v1", "jobs", "Job", NAMESPACED, []),
    ("batch", "v1", "cronjobs", "CronJob", NAMESPACED, ["cj"]),
]
GROUPS = sorted({(group, version) for group, version, *_ in RESOURCES})
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
SCALED = ("deployments", "statefulsets")
#: What the `spec` of a workload may hold.
SPEC = ("replicas", "selector", "template", "strategy", "updateStrategy", "minReadySeconds", "revisionHistoryLimit", "paused", "serviceName",
        "progressDeadlineSeconds", "podManagementPolicy", "volumeClaimTemplates")
#: How long a pod takes until it is ready, and a Job until it ends.
POD_SECONDS, JOB_SECONDS = 0.15, 0.4


class Refused(Exception):
    """An answer that says no, as a Status."""

    def __init__(self, code, reason, message):
        super().__init__(message)
        self.code = code
        self.status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
                       "message": message, "code": code}


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def merge(old, patch):
    """JSON Merge Patch."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merge(new.get(key), value)
    return new


def strategic(old, patch):
    """The same, but lists of things with a name are merged by that name."""
    if isinstance(patch, list) and isinstance(old, list) and all(isinstance(x, dict) and "name" in x for x in patch + old):
        new = list(old)
        for item in patch:
            at = next((i for i, x in enumerate(new) if x["name"] == item["name"]), None)
            if at is None:
                new.append(item)
            else:
                new[at] = strategic(new[at], item)
        return new
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = strategic(new.get(key), value)
    return new


def json_patch(document, operations):
    """JSON Patch: test, add, replace, remove."""
    unfit = Refused(422, "Invalid", "the server rejected our request due to an error in our request")
    document = copy.deepcopy(document)
    for operation in operations:
        keys = [k.replace("~1", "/").replace("~0", "~") for k in operation["path"].split("/")[1:]]
        parent = document
        try:
            for key in keys[:-1]:
                parent = parent[int(key)] if isinstance(parent, list) else parent[key]
            key = keys[-1]
            if isinstance(parent, list):
                key = len(parent) if key == "-" else int(key)
            there = parent[key] if (key in parent if isinstance(parent, dict) else key < len(parent)) else KeyError
        except (KeyError, IndexError, ValueError, TypeError):
            raise unfit from None
        what = operation["op"]
        if what == "add":
            parent.insert(key, operation["value"]) if isinstance(parent, list) else parent.update({key: operation["value"]})
        elif there is KeyError or (what == "test" and there != operation["value"]):
            raise unfit
        elif what == "replace":
            parent[key] = operation["value"]
        elif what == "remove":
            del parent[key]
    return document


class Cluster:
    """The objects, and what goes on by itself."""

    def __init__(self):
        self.lock = threading.Condition()
        self.version = 100
        self.objects = {}  # (plural, namespace, name) -> object
        self.log = []      # (version, type, key, object), for watches
        self.steady, self.job_end = True, "complete"
        self.faults = {}
        self.meddle_next = None
        self.changes, self.dry_runs, self.paths = 0, 0, []
        self.begun = {}    # uid of a Job -> when it began
        self.answering = None  # (namespace, name) of the workloads whose containers answer; None: nobody knows, all do
        self.file = None   # where the objects are kept, if they are

    def recall(self, file):
        """Objects as an earlier process of this directory left them; they are kept from now on."""
        self.file = file
        if os.path.exists(file):
            with open(file, encoding="utf-8") as text:
                self.version, objects = json.load(text)
            self.objects = {tuple(key): thing for key, thing in objects}
            return True
        return False

    def write(self, event, key, thing):
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)
        if event == "DELETED":
            self.objects.pop(key)
        else:
            self.objects[key] = thing
        self.log.append((self.version, event, key, copy.deepcopy(thing)))
        self.lock.notify_all()
        if self.file:
            with open(f"{self.file}.new", "w", encoding="utf-8") as out:
                json.dump([self.version, list(self.objects.items())], out)
            os.rename(f"{self.file}.new", self.file)

    def create(self, resource, namespace, thing, dry):
        group, version, plural, kind, namespaced, _ = resource
        metadata = thing.setdefault("metadata", {})
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                raise Refused(422, "Invalid", f"{kind} \"\" is invalid: metadata.name: Required value: name or generateName is required")
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        key = (plural, namespace if namespaced else "", metadata["name"])
        if key in self.objects:
            raise Refused(409, "AlreadyExists", f"{plural} \"{metadata['name']}\" already exists")
        if metadata.pop("resourceVersion", None):
            raise Refused(409, "Conflict", f"Operation cannot be fulfilled on {plural} \"{metadata['name']}\": StorageError: "
                                           "invalid object, Precondition failed")
        if namespaced:
            metadata["namespace"] = namespace
        thing = {"apiVersion": f"{group}/{version}" if group else version, "kind": kind, **thing}
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=now())
        metadata.pop("managedFields", None)
        self.defaults(plural, thing)
        if plural in SCALED + ("jobs", "cronjobs"):
            metadata["generation"] = 1
        if not dry:
            self.write("ADDED", key, thing)
        return thing

    def defaults(self, plural, thing):
        """What the real one writes where nothing is said; what it does not know, it drops."""
        if plural in SCALED:
            thing["spec"] = {k: v for k, v in thing.get("spec", {}).items() if k in SPEC}
            thing["spec"].setdefault("replicas", 1)
            thing["spec"].setdefault("revisionHistoryLimit", 10)
            thing["spec"].setdefault("strategy" if plural == "deployments" else "updateStrategy", {"type": "RollingUpdate"})
        if plural == "jobs":
            thing.setdefault("spec", {}).setdefault("backoffLimit", 6)
            thing["spec"].setdefault("selector", {"matchLabels": {"job-name": thing["metadata"]["name"]}})

    def update(self, key, thing, dry):
        """A new form of an object that is there; its version, if it names one, must be the newest."""
        old = self.objects[key]
        plural, _, name = key
        meant = thing.get("metadata", {})
        for field in ("resourceVersion", "uid"):
            if meant.get(field) not in (None, "", old["metadata"][field]):
                raise Refused(409, "Conflict", f"Operation cannot be fulfilled on {plural} \"{name}\": the object has been modified; "
                                               "please apply your changes to the latest version and try again")
        thing = copy.deepcopy(thing)
        thing["metadata"] = {**thing.get("metadata", {}), **{k: old["metadata"][k] for k in ("uid", "creationTimestamp", "name", "namespace",
                                                             "generation", "resourceVersion") if k in old["metadata"]}}
        thing["metadata"].pop("managedFields", None)
        thing["status"] = copy.deepcopy(old.get("status", {}))
        if not thing["status"]:
            thing.pop("status")
        self.defaults(plural, thing)
        if plural == "jobs" and thing.get("spec") != old.get("spec"):
            raise Refused(422, "Invalid", f"Job.batch \"{name}\" is invalid: spec: Invalid value: field is immutable")
        if thing == old:
            return old
        if thing.get("spec") != old.get("spec") and "generation" in old["metadata"]:
            thing["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if not dry:
            self.write("MODIFIED", key, thing)
        return thing

    def live(self):
        """One tick of what controllers do."""
        with self.lock:
            for key, thing in list(self.objects.items()):
                if key[0] in SCALED and self.steady:
                    self.roll(key, copy.deepcopy(thing))
                elif key[0] == "jobs":
                    self.work(key, copy.deepcopy(thing))

    def roll(self, key, thing):
        status, spec = thing.setdefault("status", {}), thing["spec"]
        wanted, template = spec["replicas"], json.dumps(spec.get("template"), sort_keys=True)
        status["observedGeneration"] = thing["metadata"]["generation"]
        known = thing["metadata"].setdefault("annotations", {}).get("deployment.kubernetes.io/revision", "0").split("/")
        revision = f"{zlib.crc32(template.encode()):x}"  # the same in each process that serves these objects
        ready = status.get("readyReplicas", 0)
        answers = self.answering is None or key[1:] in self.answering
        updated = status.get("updatedReplicas", 0) if known[-1] == revision else 0
        old = ready - min(updated, ready)
        if updated < wanted:
            updated, old = updated + 1, max(0, old - 1)
        elif old > 0:
            old -= 1
        elif updated > wanted:
            updated -= 1
        count = updated + old
        status.update(replicas=count, readyReplicas=count, availableReplicas=count, updatedReplicas=updated)
        if wanted and not answers:
            # Pods are there, and none of them is ready.
            status.update(replicas=wanted, readyReplicas=0, availableReplicas=0, updatedReplicas=0)
        elif not wanted and answers and self.answering is not None:
            # The last of them is not gone before its containers are.
            status.update(replicas=1, readyReplicas=1, availableReplicas=1, updatedReplicas=1)
        status["conditions"] = [{"type": "Available", "status": "True"}, {"type": "Progressing", "status": "True"}]
        thing["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = f"1/{revision}"
        if thing != self.objects[key]:
            self.write("MODIFIED", key, thing)

    def work(self, key, thing):
        status = thing.setdefault("status", {})
        if status.get("conditions"):
            return
        if "startTime" not in status:
            status.update(startTime=now(), active=1)
            self.begun[thing["metadata"]["uid"]] = time.monotonic()
            self.write("MODIFIED", key, thing)
            self.pod(thing)
        elif self.job_end != "run" and time.monotonic() - self.begun.get(thing["metadata"]["uid"], 0) > JOB_SECONDS:
            self.ended(status, self.job_end == "complete")
            self.write("MODIFIED", key, thing)

    def pod(self, job):
        """The one pod of a Job; what it says stands in the annotation `lab/log` of the Job's template."""
        template = job["spec"].get("template", {})
        meta = {"generateName": job["metadata"]["name"] + "-", "labels": job["spec"]["selector"]["matchLabels"],
                "annotations": template.get("metadata", {}).get("annotations", {})}
        pods = next(r for r in RESOURCES if r[2] == "pods")
        pod = {"metadata": meta, "spec": template.get("spec", {}), "status": {"phase": "Running"}}
        self.create(pods, job["metadata"]["namespace"], copy.deepcopy(pod), False)

    def end(self, namespace, name, good, said):
        """A Job's container ended, and said that: somebody runs it who knows."""
        job = copy.deepcopy(self.objects["jobs", namespace, name])
        self.ended(job["status"], good)
        for key, pod in list(self.objects.items()):
            if key[:2] == ("pods", namespace) and pod["metadata"].get("labels") == job["spec"]["selector"]["matchLabels"]:
                pod = copy.deepcopy(pod)
                pod["metadata"].setdefault("annotations", {})["lab/log"] = said
                self.write("MODIFIED", key, pod)
        self.write("MODIFIED", ("jobs", namespace, name), job)

    def ended(self, status, good):
        status.pop("active", None)
        if good:
            status.update(succeeded=1, completionTime=now(), conditions=[{"type": "Complete", "status": "True"}])
        else:
            status.update(failed=1, conditions=[{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
                                                 "message": "Job has reached the specified backoff limit"}])

    def fault(self, kind):
        with self.lock:
            left = self.faults.get(kind, 0)
            self.faults[kind] = max(0, left - 1)
            return left > 0

    def control(self, asked):
        with self.lock:
            for key, value in asked.items():
                if key == "steady":
                    self.steady = bool(value)
                elif key == "jobs":
                    self.job_end = value
                elif key == "answering":
                    self.answering = {tuple(name) for name in value}
                elif key == "meddle":
                    self.meddle(value)
                elif key == "end":
                    self.end(**value)
                elif key == "meddle_next":
                    self.meddle_next = value
                elif key in ("lose_reply", "break", "throttle", "garbage"):
                    self.faults[key] = int(value)
                else:
                    raise ValueError(f"unknown key {key}")
            return {"changes": self.changes, "dry_runs": self.dry_runs, "paths": self.paths}

    def meddle(self, what):
        resource, namespace, name, _ = parse(what["path"])
        key = (resource[2], namespace if resource[4] else "", name)
        if what.get("delete"):
            self.write("DELETED", key, self.objects[key])
        else:
            self.update(key, merge(self.objects[key], what["patch"]), False)


def parse(path):
    """(resource, namespace, name, subresource) of a path, or Refused."""
    parts = path.strip("/").split("/")
    group, parts = (parts[1], parts[3:]) if parts[0] == "apis" else ("", parts[2:])
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    for resource in RESOURCES:
        if resource[0] == group and resource[2] == parts[0]:
            return resource, namespace, parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else ""
    raise Refused(404, "NotFound", "the server could not find the requested resource")


class Door(lablib.Handler):
    cluster, token = None, ""

    def handle_call(self):
        body = self.body()
        url = urllib.parse.urlsplit(self.path)
        query = {k: v[0] for k, v in urllib.parse.parse_qs(url.query).items()}
        if url.path == "/_control":
            try:
                return self.answer(200, self.cluster.control(json.loads(body) if self.command == "POST" else {}))
            except (ValueError, KeyError) as error:
                return self.answer(400, {"error": repr(error)})
        try:
            if self.headers.get("Authorization") != f"Bearer {self.token}":
                raise Refused(401, "Unauthorized", "Unauthorized")
            if self.cluster.fault("throttle"):
                raise Refused(429, "TooManyRequests", "the server has received too many requests and has asked us to try again later")
            self.call(url.path.rstrip("/"), query, body)
        except Refused as refused:
            self.answer(refused.code, refused.status)

    def call(self, path, query, body):
        if path == "/version":
            return self.answer(200, {"major": "1", "minor": "32", "gitVersion": "v1.32.0-standin"})
        if path == "/api":
            return self.answer(200, {"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            group = lambda g, v: {"name": g, "versions": [{"groupVersion": f"{g}/{v}", "version": v}],
                                  "preferredVersion": {"groupVersion": f"{g}/{v}", "version": v}}
            return self.answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(g, v) for g, v in GROUPS if g]})
        for group, version in GROUPS:
            if path == (f"/apis/{group}/{version}" if group else f"/api/{version}"):
                return self.answer(200, self.resources(group, version))
        if not path.startswith(("/api/v1/", "/apis/")):
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        resource, namespace, name, sub = parse(path)
        if self.command == "GET":
            return self.read(resource, namespace, name, sub, query)
        dry = "dryRun" in query
        with self.cluster.lock:
            self.cluster.dry_runs += dry
            if not dry:
                self.cluster.changes += 1
                self.cluster.paths.append(f"{self.command} {path}")
                meddle, self.cluster.meddle_next = self.cluster.meddle_next, None
                if meddle:
                    self.cluster.meddle(meddle)
            code, said = self.change(resource, namespace, name, sub, query, body, dry)
        if not dry and self.cluster.fault("lose_reply"):
            return self.cut()
        if not dry and self.cluster.fault("break"):
            raise Refused(500, "InternalError", "Internal error occurred: the lab was told to break")
        self.answer(code, said)

    def resources(self, group, version):
        out = []
        for g, v, plural, kind, namespaced, short in RESOURCES:
            if (g, v) == (group, version):
                out.append({"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": VERBS,
                            "shortNames": short})
                if plural in SCALED:
                    out.append({"name": f"{plural}/scale", "singularName": "", "namespaced": True, "group": "autoscaling",
                                "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]})
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/{version}" if group else version, "resources": out}

    def read(self, resource, namespace, name, sub, query):
        if self.cluster.fault("garbage"):
            return self.answer(200, b"<html>a proxy of somebody</html>", {"Content-Type": "application/json"})
        group, version, plural, kind, _, _ = resource
        labels = dict(part.replace("==", "=").split("=", 1) for part in query.get("labelSelector", "").split(",") if "=" in part)
        fields = dict(part.split("=", 1) for part in query.get("fieldSelector", "").split(",") if "=" in part)

        def meant(key, thing):
            has = thing["metadata"].get("labels", {})
            return (key[0] == plural and namespace in ("", key[1]) and all(has.get(k) == v for k, v in labels.items())
                    and fields.get("metadata.name", key[2]) == key[2])

        if query.get("watch") in ("1", "true"):
            return self.watch(meant, query)
        with self.cluster.lock:
            if not name:
                items = [copy.deepcopy(o) for k, o in sorted(self.cluster.objects.items()) if meant(k, o)]
                av = f"{group}/{version}" if group else version
                return self.answer(200, {"kind": f"{kind}List", "apiVersion": av, "items": items,
                                         "metadata": {"resourceVersion": str(self.cluster.version)}})
            thing = copy.deepcopy(self.cluster.objects.get((plural, namespace if resource[4] else "", name)))
        if thing is None:
            raise Refused(404, "NotFound", f"{plural} \"{name}\" not found")
        if sub == "log":
            return self.answer(200, thing["metadata"].get("annotations", {}).get("lab/log", "").encode(), {"Content-Type": "text/plain"})
        self.answer(200, scale_of(thing) if sub == "scale" else thing)

    def watch(self, meant, query):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        end = time.monotonic() + int(query.get("timeoutSeconds", 60))
        last = int(query.get("resourceVersion") or self.cluster.version)
        while time.monotonic() < end:
            with self.cluster.lock:
                events = [e for e in self.cluster.log if e[0] > last and meant(e[2], e[3])]
                if not events:
                    self.cluster.lock.wait(0.5)
            for version, event, _, thing in events:
                last, line = version, (json.dumps({"type": event, "object": thing}) + "\n").encode()
                try:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    self.wfile.flush()
                except OSError:
                    return
        self.wfile.write(b"0\r\n\r\n")

    def change(self, resource, namespace, name, sub, query, body, dry):
        """(status, answer) of a call that asks for a change; the lock is held."""
        cluster, plural = self.cluster, resource[2]
        key = (plural, namespace if resource[4] else "", name)
        kind = self.headers.get("Content-Type", "")
        if "protobuf" in kind:
            raise Refused(415, "UnsupportedMediaType", "the lab's stand-in reads JSON: kubectl create -f - does")
        if self.command == "POST":
            return 201, cluster.create(resource, namespace, json.loads(body), dry)
        if self.command == "PATCH" and "apply-patch" in kind and key not in cluster.objects:
            return 201, cluster.create(resource, namespace, json.loads(body), dry)
        old = cluster.objects.get(key)
        if old is None:
            raise Refused(404, "NotFound", f"{plural} \"{name}\" not found")
        if self.command == "DELETE":
            if not dry:
                cluster.write("DELETED", key, old)
            return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": {"name": name, "uid": old["metadata"]["uid"]}}
        asked = json.loads(body)
        if sub == "scale":
            # None is written as nothing at all, in a whole Scale.
            whole = asked if self.command == "PUT" else merge(scale_of(old), asked)
            replicas = whole.get("spec", {}).get("replicas", 0)
            meant = {k: asked.get("metadata", {}).get(k) for k in ("resourceVersion", "uid")}
            new = merge(old, {"spec": {"replicas": replicas}})
            new["metadata"] = {**new["metadata"], **{k: v for k, v in meant.items() if v}}
            return 200, scale_of(cluster.update(key, new, dry))
        if self.command == "PUT":
            new = asked
        elif "json-patch" in kind:
            new = json_patch(old, asked)
        elif "merge-patch" in kind:
            new = merge(old, asked)
        elif "strategic" in kind or "apply-patch" in kind:
            new = strategic(old, asked)
        else:
            raise Refused(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {kind}")
        return 200, cluster.update(key, new, dry)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_call


def scale_of(thing):
    metadata = {k: thing["metadata"][k] for k in ("name", "namespace", "uid", "resourceVersion")}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {"replicas": thing["spec"]["replicas"]},
            "status": {"replicas": thing.get("status", {}).get("replicas", 0)}}


def fill(cluster, find):
    for name in ("default", "kube-system", "shop"):
        cluster.create(find["namespaces"], "", {"metadata": {"name": name}}, False)
    for name, ready in (("node-a", "True"), ("node-b", "True"), ("node-c", "False")):
        status = {"conditions": [{"type": "Ready", "status": ready}]}
        cluster.create(find["nodes"], "", {"metadata": {"name": name}, "spec": {}, "status": status}, False)


def certificate(home):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=lab", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{home}/key.pem", "-out", f"{home}/ca.pem"],
                   check=True, capture_output=True)


def main():
    cluster = Cluster()
    find = {resource[2]: resource for resource in RESOURCES}
    Door.cluster, Door.token = cluster, sys.argv[2]
    home, owner, wanted = sys.argv[1], os.getppid(), int(sys.argv[3]) if len(sys.argv) > 3 else 0
    with cluster.lock:
        if not wanted or not cluster.recall(f"{home}/objects.json"):
            fill(cluster, find)
    if not os.path.exists(f"{home}/ca.pem"):
        certificate(home)
    server = lablib.Server(("127.0.0.1", wanted), Door)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{home}/ca.pem", f"{home}/key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    port = server.server_address[1]
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "east",
        "clusters": [{"name": "lab", "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": "ca.pem"}}],
        "users": [{"name": "lab", "user": {"token": Door.token}}, {"name": "nobody", "user": {"token": "of-somebody-else"}}],
        "contexts": [{"name": "east", "context": {"cluster": "lab", "user": "lab", "namespace": "shop"}},
                     {"name": "locked", "context": {"cluster": "lab", "user": "nobody", "namespace": "shop"}}],
    }
    for name, text in (("kubeconfig", json.dumps(config)), ("port", str(port))):
        with open(f"{home}/{name}.new", "w", encoding="ascii") as out:
            out.write(text)
        os.rename(f"{home}/{name}.new", f"{home}/{name}")

    def tick():
        while True:
            time.sleep(POD_SECONDS)
            cluster.live()
            if os.getppid() != owner:
                os._exit(0)
    threading.Thread(target=tick, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
