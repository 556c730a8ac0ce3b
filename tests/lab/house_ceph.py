"""A real object store (Ceph RGW, `ceph`) for the labs of plans: what must be safe is judged there. It takes a while to start, so
all labs of one owner share it, each with buckets of its own; a lab without an owner has one to itself. It knows no plan.
"""
import fcntl
import os
from pathlib import Path

from house import CACHE, HERE, House, run, started_at

#: Of the user who owns the buckets, as `ceph` makes it.
OWNER = ("lab", "lab-secret-key-9d41")


class Ceph(House):
    """The store, in a directory of its own; it is gone, directory and all, when its owner ends."""

    @classmethod
    def of(cls, house, users):
        """The store for a lab; `users` are there afterwards, each a name that is its key too, and a secret."""
        owner = house.state.get("owner")
        top = Path(f"/dev/shm/drplan-ceph-{owner}-{started_at(owner)}") if owner else house.file("ceph")
        with open(CACHE / "ceph.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            store = cls(top)
            if not store.pid("ceph"):
                store.begin(owner, passing=True)
                store.start("ceph", [HERE / "ceph", store.file("store"), store.port("rgw")],
                            env={"LAB_MON_V2": store.port("mon-2"), "LAB_MON_V1": store.port("mon-1")})
                store.ready("ceph", store.file("store/ready").exists, 120)
            for name, secret in users.items():
                store.user(name, secret)
        house.state["ports"]["ceph"] = store.port("rgw")
        house.keep()
        return store

    def user(self, name, secret):
        if name not in self.state.setdefault("users", []):
            conf = {**os.environ, "CEPH_CONF": str(self.file("store/ceph.conf"))}
            run(["radosgw-admin", "user", "create", f"--uid={name}", f"--display-name={name}", f"--access-key={name}", f"--secret-key={secret}"], env=conf)
            self.state["users"].append(name)
            self.keep()

    def asked(self, bucket):
        """Who asked what about a bucket, and what was answered: (user, method, path, status) of each call so far."""
        found = []
        for line in self.file("store/rgw.log").read_text(errors="replace").splitlines():
            if " beast: " not in line or f" /{bucket}" not in line:
                continue
            user = line.partition(" - ")[2].partition(" [")[0]
            method, path, rest = line.partition('"')[2].split(" ", 2)
            if path.partition("?")[0].split("/")[1] == bucket:
                found.append((user, method, path, int(rest.partition('" ')[2].split(" ", 1)[0])))
        return found


def client(house, name, secret):
    """S3 as one user of the store."""
    import boto3  # seconds of imports that only some labs need
    from botocore.config import Config
    quick = Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required", response_checksum_validation="when_required")
    return boto3.client("s3", endpoint_url=house.url("ceph"), region_name="us-east-1", aws_access_key_id=name, aws_secret_access_key=secret, config=quick)
