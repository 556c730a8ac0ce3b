"""Fills a fresh lab's Route 53 and S3 through the stub, and prints the hosted zone's id. Run once, by `lab up`.

One zone with one record, pointing to the primary region; two buckets with a few sample objects. The objects are
samples by name and size, not backups that could be restored (DIR/pg/base.tar with DIR/pg/arch is); their LastModified is now.
"""
import datetime
import hashlib
import http.client
import json
import re
import sys

import lablib

env = lablib.read_env(sys.argv[1])
host = env["AWS_ENDPOINT_URL"].split("//")[1]
link = http.client.HTTPConnection(host, timeout=20)


def call(method, path, body=b"", service="s3", **headers):
    if isinstance(body, str):
        body = body.encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/{service}/aws4_request, "
                                "SignedHeaders=host, Signature=0")
    link.request(method, path, body, headers)
    reply = link.getresponse()
    text = reply.read().decode()
    if reply.status >= 300:
        sys.exit(f"{method} {path}: {reply.status} {text}")
    return text


call("POST", "/_control", json.dumps({"pending_seconds": 0}))
NS = 'xmlns="https://route53.amazonaws.com/doc/2013-04-01/"'
zone = re.search(r"/hostedzone/(\w+)</Id>", call(
    "POST", "/2013-04-01/hostedzone", f"<CreateHostedZoneRequest {NS}><Name>platform.example.com</Name><CallerReference>lab"
    "</CallerReference></CreateHostedZoneRequest>", "route53", Content_Type="text/xml")).group(1)
call("POST", f"/2013-04-01/hostedzone/{zone}/rrset/", f"<ChangeResourceRecordSetsRequest {NS}><ChangeBatch><Changes><Change>"
     f"<Action>CREATE</Action><ResourceRecordSet><Name>{env['LAB_RECORD']}</Name><Type>CNAME</Type><TTL>1</TTL>"
     f"<ResourceRecords><ResourceRecord><Value>{env['LAB_LB_EAST']}</Value></ResourceRecord></ResourceRecords>"
     "</ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>", "route53", Content_Type="text/xml")

now = datetime.datetime.now(datetime.timezone.utc).replace(minute=0, second=0, microsecond=0)
for bucket, region in ((env["LAB_BACKUP_BUCKET"], "us-east-1"), (env["LAB_REPLICA_BUCKET"], "us-west-2")):
    call("PUT", f"/{bucket}", "" if region == "us-east-1" else
         f"<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>")
    call("PUT", f"/{bucket}?versioning", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
    for hours in (3, 2, 1, 0):
        stamp = (now - datetime.timedelta(hours=hours)).strftime("%Y%m%dT%H%M%SZ")
        for name, size in (("base.tar.gz", 4096), ("backup_manifest", 512)):
            data = hashlib.sha256(f"{stamp}/{name}".encode()).digest() * (size // 32)
            call("PUT", f"/{bucket}/postgres/full/{stamp}/{name}", data, x_amz_server_side_encryption="aws:kms")
    for segment in (1, 2, 3):
        data = hashlib.sha256(f"wal {segment}".encode()).digest() * 64
        call("PUT", f"/{bucket}/postgres/wal/{segment:024X}".replace("/0000000000000000", "/0000000100000000"), data,
             x_amz_server_side_encryption="aws:kms")

call("POST", "/_control", json.dumps({"pending_seconds": 1.5, "reset": True}))
print(zone)
