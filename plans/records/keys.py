"""Who may do what in the archive of the lab, and whether it is so: each key is tried for what it must not be able to do, on the
real object store. It knows the archive's files (archive/), not the plan.
"""
import datetime
import hashlib
import json
import subprocess
from pathlib import Path

from house_ceph import OWNER, client

FILES = Path(__file__).resolve().parent / "archive"
#: Users of the object store, each for one kind of work, and their secrets.
KEYS = {f"records-{name}": f"lab-{name}-secret-4c11" for name in ("backup", "clickhouse", "restore", "keeper")}
YEAR = datetime.timedelta(days=365)


class Archive:
    def __init__(self, house, bucket, prefix):
        self.house, self.bucket, self.prefix = house, bucket, prefix
        self.clients = {}

    def s3(self, name):
        if name not in self.clients:
            self.clients[name] = client(self.house, *(OWNER if name == "owner" else (name, KEYS[name])))
        return self.clients[name]

    def make(self):
        """What the Terraform module does with the files of archive/."""
        def filled(name):
            text = (FILES / name).read_text()
            return text.replace("ACCOUNT", "").replace("BUCKET", self.bucket).replace("PREFIX", self.prefix).replace("RELEASE", "records")
        owner = self.s3("owner")
        owner.create_bucket(Bucket=self.bucket, ObjectLockEnabledForBucket=True)
        owner.put_object_lock_configuration(Bucket=self.bucket, ObjectLockConfiguration=json.loads(filled("lock.json")))
        owner.put_bucket_lifecycle_configuration(Bucket=self.bucket, LifecycleConfiguration=json.loads(filled("lifecycle.json")))
        owner.put_bucket_policy(Bucket=self.bucket, Policy=filled("policy.json"))

    # ---- what is there

    def versions(self):
        """Every version of every object, and when it was written."""
        found, more = [], {}
        while True:
            said = self.s3("owner").list_object_versions(Bucket=self.bucket, **more)
            found += [{"key": v["Key"], "version": v["VersionId"], "etag": v["ETag"], "at": v["LastModified"].timestamp(), "by": v["Owner"]["ID"]}
                      for v in said.get("Versions", [])]
            if not said["IsTruncated"]:
                return found
            more = {"KeyMarker": said["NextKeyMarker"], "VersionIdMarker": said["NextVersionIdMarker"]}

    def newest(self, kind):
        end = ".sql.gz" if kind == "postgresql" else "/.backup"
        said = self.s3("records-restore").list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}/{kind}/")
        return max((o["LastModified"], o["Key"]) for o in said["Contents"] if o["Key"].endswith(end))[1]

    def read(self, key, **version):
        return self.s3("records-restore").get_object(Bucket=self.bucket, Key=key, **version)["Body"].read()

    def sum(self, snapshot, key):
        """The checksum of a ClickHouse snapshot, and its signature, laid beside it."""
        top = snapshot.removesuffix(".backup")
        said = self.s3("records-keeper").list_objects_v2(Bucket=self.bucket, Prefix=top)
        names = sorted(o["Key"] for o in said["Contents"])
        sums = "".join(f"{hashlib.sha256(self.read(name)).hexdigest()}  {name.removeprefix(top)}\n" for name in names)
        file, pem = self.house.file("sums.sha256"), self.house.file("signing.pem")
        file.write_text(sums)
        pem.write_text(f"-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n")
        subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", pem, "-in", file, "-out", f"{file}.sig"], check=True)
        for end in ("", ".sig"):
            self.s3("records-keeper").put_object(Bucket=self.bucket, Key=f"{top.rstrip('/')}.sha256{end}", Body=self.house.file(f"sums.sha256{end}").read_bytes())

    def entries(self):
        said = self.s3("records-restore").list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}/audit/")
        return [json.loads(self.read(o["Key"])) for o in said.get("Contents", [])]

    def trail(self):
        return sorted(entry["what"] for entry in self.entries())

    def audited(self, what, snapshot):
        """The audit trail has an entry of it, with the checksum that the snapshot has."""
        found = [e for e in self.entries() if (e["what"], e["snapshot"]) == (what, snapshot)]
        kept = snapshot.removesuffix("/.backup") + ".sha256"
        digest = hashlib.sha256(self.read(kept)).hexdigest()
        return [] if [e["sha256"] for e in found] == [digest] else [f"the audit trail says of {what} {snapshot}: {found}, and its checksum is {digest}"]

    def locked(self, key):
        head = self.s3("records-restore").head_object(Bucket=self.bucket, Key=key)
        left = head["ObjectLockRetainUntilDate"] - datetime.datetime.now(datetime.timezone.utc)
        good = head["ObjectLockMode"] == "GOVERNANCE" and left > 7 * YEAR - datetime.timedelta(hours=1)
        return [] if good else [f"{key} is locked for {left} by {head['ObjectLockMode']}"]

    # ---- what must not be possible

    def refused(self, who, what, call, **args):
        """Nothing, if the store says no for want of right; else what it said."""
        from botocore.exceptions import ClientError
        try:
            getattr(self.s3(who), call)(Bucket=self.bucket, **args)
        except ClientError as why:
            return [] if why.response["ResponseMetadata"]["HTTPStatusCode"] == 403 else [f"{who}, {what}: {why}"]
        return [f"{who} can {what}"]

    def still(self, version):
        """Nothing, if a version is there as it was."""
        from botocore.exceptions import ClientError
        try:
            head = self.s3("records-restore").head_object(Bucket=self.bucket, Key=version["key"], VersionId=version["version"])
        except ClientError as why:
            return [f"{version['key']} of before is gone: {why}"]
        return [] if head["ETag"] == version["etag"] else [f"{version['key']} is another one"]

    def attack(self, snapshots):
        """By somebody who has the keys of those who write: rubbish under the newest names, and newer rubbish."""
        for who, kind, key in (("records-backup", "postgresql", snapshots["postgresql"]), ("records-clickhouse", "clickhouse", snapshots["clickhouse"])):
            at = key.split("/")[-1 if kind == "postgresql" else -2][:16]
            for name in (key, key.replace(at, "20991231T235959Z")):
                self.s3(who).put_object(Bucket=self.bucket, Key=name, Body=b"rubbish " * 1000)

    def tried(self, lost, attacked):
        """What each key can do that it must not; and whether everything from before the loss is still there, version by version. Where
        nobody attacked, the first few versions must do."""
        wrong, now = [], datetime.datetime.now(datetime.timezone.utc)
        soon = {"Mode": "GOVERNANCE", "RetainUntilDate": now + datetime.timedelta(minutes=5)}
        before = [v for v in lost["versions"] if not v["key"].endswith("/.lock")]
        if len(before) < 10:
            wrong.append(f"only {len(before)} objects to try")
        for v in before if attacked else before[:4]:
            one = {"Key": v["key"], "VersionId": v["version"]}
            wrong += self.refused("owner", f"delete {v['key']}", "delete_object", **one)
            wrong += self.refused("owner", f"shorten {v['key']}", "put_object_retention", Retention=soon, **one)
            wrong += self.still(v)
        for v in [next(v for v in before if v["key"].endswith(end)) for end in ([".sql.gz", "/.backup", ".sha256"] if attacked else [".sql.gz"])]:
            one = {"Key": v["key"], "VersionId": v["version"]}
            for who in KEYS:
                wrong += self.refused(who, "delete a version", "delete_object", **one)
                wrong += self.refused(who, "delete a version and its lock", "delete_object", BypassGovernanceRetention=True, **one)
                wrong += self.refused(who, "hide an object", "delete_object", Key=v["key"])
                wrong += self.refused(who, "shorten a lock", "put_object_retention", Retention=soon, BypassGovernanceRetention=True, **one)
        dump = next(v["key"] for v in before if v["key"].endswith(".sql.gz"))
        part = next(v["key"] for v in before if "/data/" in v["key"])
        for who in ("records-restore", "records-keeper"):
            wrong += self.refused(who, "write over a dump", "put_object", Key=dump, Body=b"x")
            wrong += self.refused(who, "write over a backup", "put_object", Key=part, Body=b"x")
        wrong += self.refused("records-restore", "write the audit trail", "put_object", Key=f"{self.prefix}/audit/x", Body=b"x")
        wrong += self.refused("records-backup", "read a dump", "get_object", Key=dump)
        wrong += self.refused("records-backup", "list", "list_objects_v2")
        wrong += self.refused("records-backup", "write elsewhere", "put_object", Key=f"{self.prefix}/clickhouse/x", Body=b"x")
        wrong += self.refused("records-clickhouse", "read a backup", "get_object", Key=part)
        wrong += self.refused("records-clickhouse", "write elsewhere", "put_object", Key=f"{self.prefix}/postgresql/x", Body=b"x")
        return wrong + self.lock_counts() + self.kept_to() + (self.rubbish_refused() if attacked else [])

    def lock_counts(self):
        """It is the lock that refuses, and nothing else: whose right it is to lift it can, on an object of its own."""
        one = {"Key": "tried", "Bucket": self.bucket}
        version = self.s3("owner").put_object(Body=b"x", **one)["VersionId"]
        wrong = self.refused("owner", "delete what is locked", "delete_object", Key="tried", VersionId=version)
        self.s3("owner").delete_object(VersionId=version, BypassGovernanceRetention=True, **one)
        return wrong

    def kept_to(self):
        """Everybody kept to their work, as the store's own log tells it: what succeeded, by whom."""
        from house_ceph import Ceph
        wrong = []
        for user, method, path, status in Ceph.of(self.house, {}).asked(self.bucket):
            name = path.partition("?")[0].removeprefix(f"/{self.bucket}/{self.prefix}/")
            can = {"records-backup": method in ("PUT", "POST") and name.startswith("postgresql/"),
                   "records-clickhouse": method in ("PUT", "POST", "HEAD", "GET") or (method == "DELETE" and name.endswith("/.lock")),
                   "records-restore": method in ("GET", "HEAD"), "records-keeper": method in ("GET", "HEAD", "PUT"), "lab": True}
            if status < 300 and not can[user]:
                wrong.append(f"{user} did {method} {path}")
        return wrong

    def rubbish_refused(self):
        """The rubbish is still what is newest there, and is not taken for a snapshot."""
        wrong = []
        for kind in ("postgresql", "clickhouse"):
            done = self.house.verify(self.newest(kind), "records-restore")
            if done.returncode == 0 or "rubbish" not in self.read(self.newest(kind)).decode(errors="replace"):
                wrong.append(f"rubbish of {kind} passes: {done.stdout}{done.stderr}")
        return wrong
