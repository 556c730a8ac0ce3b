"""Asks an object store by other means than drplan's own: requests signed here, as the user that `ceph` makes.

    s3.py HOST:PORT raw METHOD PATH        status and body
    s3.py HOST:PORT fresh BUCKET...        each is there, with Object Lock and versions, and nothing is in it
    s3.py HOST:PORT put BUCKET KEY TEXT [TIMES]
    s3.py HOST:PORT state BUCKET...        every version of every object, one a line, and what locks it; no times, no ids
"""
import datetime
import hashlib
import hmac
import http.client
import re
import sys
import urllib.parse

KEY, SECRET = "lab", "lab-secret-key-9d41"
at = sys.argv[1]
link = http.client.HTTPConnection(at, timeout=60)


def ask(method, path, query="", body=b"", **headers):
    """(status, headers, body) of a signed request; `query` as it is sent, its names sorted."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    signed = {"host": at, "x-amz-content-sha256": digest, "x-amz-date": now}
    signed.update({name.replace("_", "-"): value for name, value in headers.items()})
    names = ";".join(sorted(signed))
    canonical = "\n".join([method, path, query, *(f"{n}:{signed[n]}" for n in sorted(signed)), "", names, digest])
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET).encode()
    for part in (now[:8], "us-east-1", "s3", "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signed["Authorization"] = f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    link.request(method, path + ("?" + query if query else ""), body, signed)
    reply = link.getresponse()
    return reply.status, reply.headers, reply.read().decode(errors="replace")


def good(*args, **headers):
    status, head, body = ask(*args, **headers)
    if status >= 300:
        sys.exit(f"{args}: {status} {body}")
    return head, body


def versions(bucket):
    """(key, version, latest, etag, size) of each; a mark of removal has no etag."""
    _, body = good("GET", f"/{bucket}", "versions=")
    for kind, one in re.findall(r"<(Version|DeleteMarker)>(.*?)</\1>", body, re.S):
        def part(name):
            return (re.search(f"<{name}>(.*?)</{name}>", one) or ["", ""])[1]
        yield part("Key"), part("VersionId"), part("IsLatest"), part("ETag"), part("Size")


def path(bucket, key):
    return f"/{bucket}/{urllib.parse.quote(key)}"


order, rest = sys.argv[2], sys.argv[3:]
if order == "raw":
    status, _, body = ask(rest[0], *rest[1].partition("?")[::2])
    print(status, body)
elif order == "put":
    good("PUT", path(*rest[:2]), "", rest[2].encode() * int(rest[3] if rest[3:] else 1))
elif order == "fresh":
    for bucket in rest:
        if ask("HEAD", f"/{bucket}")[0] == 404:
            good("PUT", f"/{bucket}", "", b"", x_amz_bucket_object_lock_enabled="true")
        for key, version, *_ in list(versions(bucket)):
            good("DELETE", path(bucket, key), f"versionId={version}", b"", x_amz_bypass_governance_retention="true")
elif order == "state":
    for bucket in rest:
        for key, version, latest, etag, size in sorted(versions(bucket), key=lambda v: v[:1] + v[2:]):
            head = good("HEAD", path(bucket, key), f"versionId={version}")[0] if etag else {}
            lock = [head.get(f"x-amz-object-lock-{name}", "-") for name in ("mode", "retain-until-date")]
            print(bucket, key, latest, etag, size, *lock)
