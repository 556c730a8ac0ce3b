"""Fills the lab's two clusters, and writes DIR/kubeconfig with their contexts `primary` and `dr`. Run once, by `lab up`.

usage: seed_kube.py DIR MANIFESTS

In both: namespace `platform`, what MANIFESTS say, where the region's database is (ConfigMap `platform-database`), and Redis. In
`primary` all of it runs; `dr` stands at 0 pods, at release r41, and has a ConfigMap of then that the manifests know no more.
"""
import json
import ssl
import sys
import urllib.request
from pathlib import Path

import yaml

import lablib

TRACKED = {"app.kubernetes.io/instance": "platform-apps"}
PATHS = {"Deployment": "apis/apps/v1/namespaces/platform/deployments", "Service": "api/v1/namespaces/platform/services",
         "ConfigMap": "api/v1/namespaces/platform/configmaps", "Namespace": "api/v1/namespaces"}


class Cluster:
    def __init__(self, place, context):
        self.context, self.home = context, Path(place) / "kube" / context
        self.config = json.loads((self.home / "kubeconfig").read_text())
        self.server, self.token = self.config["clusters"][0]["cluster"]["server"], self.config["users"][0]["user"]["token"]
        self.trust = ssl.create_default_context(cafile=str(self.home / "ca.pem"))

    def create(self, thing):
        request = urllib.request.Request(f"{self.server}/{PATHS[thing['kind']]}", data=json.dumps(thing).encode(),
                                         headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, context=self.trust, timeout=10):
            pass

    def config_map(self, name, labels, **data):
        self.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data})


def main():
    place, manifests = sys.argv[1], Path(sys.argv[2])
    env = lablib.read_env(place)
    clusters = [Cluster(place, context) for context in ("primary", "dr")]
    merged = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
    for cluster in clusters:
        name = cluster.context
        authority = str(cluster.home / "ca.pem")
        merged["clusters"].append({"name": name, "cluster": {"server": cluster.server, "certificate-authority": authority}})
        merged["users"].append({"name": name, "user": {"token": cluster.token}})
        merged["contexts"].append({"name": name, "context": {"cluster": name, "user": name, "namespace": "platform"}})
    Path(place, "kubeconfig").write_text(json.dumps(merged))
    for cluster, port, pods, release in ((clusters[0], env["LAB_PRIMARY_PORT"], 6, "r42"), (clusters[1], env["LAB_STANDBY_PORT"], 0, "r41")):
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "platform"}})
        cluster.config_map("platform-database", {}, DATABASE=f"127.0.0.1:{port}")
        if release == "r41":
            cluster.config_map("platform-flags", TRACKED, old="true")
        for file in sorted(manifests.rglob("*.yaml")):
            thing = yaml.safe_load(file.read_text())
            thing["metadata"]["labels"].update(TRACKED)
            if thing["kind"] == "Deployment":
                thing["spec"]["replicas"] = pods
                container = thing["spec"]["template"]["spec"]["containers"][0]
                container["image"] = container["image"].replace("r42", release)
            cluster.create(thing)
        labels = {"app": "redis"}
        redis = {"name": "redis", "image": "registry.example.com/redis:7", "command": ["platform-redis"]}
        cluster.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "redis", "labels": labels},
                        "spec": {"replicas": min(pods, 1), "selector": {"matchLabels": labels},
                                 "template": {"metadata": {"labels": labels}, "spec": {"containers": [redis]}}}})


if __name__ == "__main__":
    main()
