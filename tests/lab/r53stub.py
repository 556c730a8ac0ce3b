"""One AWS endpoint in front of moto, with an honest Route 53.

usage: r53stub.py PORT MOTO_PORT [PENDING_SECONDS]

Hosted zones, tags and all of S3 are moto's: those calls pass through. Record sets, changes and health checks (each with
its version, which an update must name) are kept here, because moto takes a batch that Route 53 refuses, refuses some that it takes, and is in sync at once:
  - a batch of changes is checked whole and applied whole or not at all; DELETE must name every value that is there
  - a change is PENDING for a while, then INSYNC; an unknown change id is a 404; `/_dns` answers with what is in sync
  - faults are injected, and calls counted, through `/_control`

It checks no signatures, but knows one access key only (`lab`); it serves no DNS packets, and forgets everything when it ends.

GET  /_control   counters, faults still to come, record sets
POST /_control   JSON, any of:
  {"pending_seconds": 1.5}  how long changes made from now on stay PENDING
  {"reset": true}           counters to 0, no faults
  {"settle": true}          all changes made so far are INSYNC now
  {"release": true}         lets held replies go
  {"meddle": {"zone": ID, "set": {…}}}       somebody else sets a record set, in sync at once
  {"meddle": {"check": ID, "config": {…}}}   …or words of a health check
  {"keep": true}            remembers record sets and health checks as they are;  {"restore": true}: they are so again
  and faults, each for the next N calls, as a number N or {"n": N, "seconds": S, "op": "ChangeResourceRecordSets"}:
  "throttle"      400 Throttling, nothing done (of every Route 53 call, unless "op" says which)
  "refuse"        400 InvalidChangeBatch, nothing done
  "busy"          400 PriorRequestNotComplete, nothing done
  "lose_request"  connection cut, nothing done
  "lose_reply"    done, then connection cut
  "late"          connection cut at once, done after "seconds"
  "hold"          done, reply held for "seconds" (60) or until "release"
  "break"         done, then 500 InternalFailure
  All but "throttle" meet ChangeResourceRecordSets, unless "op" names another; "*" is every call that changes something.
  Faults are taken in the order of this list.
GET  /_dns?name=NAME   {"value", "ttl", "type"} of the record as it is in sync, else 404
"""
import copy
import datetime
import http.client
import json
import random
import re
import string
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

import lablib

NS = "https://route53.amazonaws.com/doc/2013-04-01/"
API = "/2013-04-01/"
TYPES = {"A", "AAAA", "CAA", "CNAME", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF", "SRV", "SSHFP", "SVCB",
         "TLSA", "TXT"}
FAULTS = ("throttle", "refuse", "busy", "lose_request", "lose_reply", "late", "hold", "break")
# Elements of a record set in the order in which Route 53 writes them.
ORDER = ("Name", "Type", "SetIdentifier", "Weight", "Region", "GeoLocation", "Failover", "MultiValueAnswer", "TTL",
         "ResourceRecords", "AliasTarget", "HealthCheckId", "TrafficPolicyInstanceId", "CidrRoutingConfig",
         "GeoProximityLocation")


class Refused(Exception):
    """An answer that says no: status, code, message."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def xml(self):
        return (f'<?xml version="1.0"?>\n<ErrorResponse xmlns="{NS}"><Error><Type>Sender</Type><Code>{self.code}</Code>'
                f"<Message>{escape(self.message)}</Message></Error><RequestId>{request_id()}</RequestId></ErrorResponse>"
                ).encode()


def request_id():
    return "-".join("".join(random.choices("0123456789abcdef", k=k)) for k in (8, 4, 4, 4, 12))


def canonical_name(name):
    """Lower case, final dot, and a star as Route 53 writes it."""
    name = name.strip().lower().replace("*", "\\052")
    return name if name.endswith(".") else name + "."


def sort_key(record):
    return (record["Name"].rstrip(".").split(".")[::-1], record["Type"], record.get("SetIdentifier", ""))


def tree(element):
    """An XML element as text, list (of ResourceRecords) or dict."""
    if element.tag == f"{{{NS}}}ResourceRecords":
        return [(v.findtext(f"{{{NS}}}Value") or "").strip() for v in element]
    if len(element):
        return {child.tag.split("}")[-1]: tree(child) for child in element}
    return (element.text or "").strip()


def record_xml(value, tag="ResourceRecordSet"):
    if isinstance(value, dict):
        keys = sorted(value, key=lambda k: ORDER.index(k) if k in ORDER else 99) if tag == "ResourceRecordSet" else value
        inner = "".join(record_xml(value[k], k) for k in keys)
    elif isinstance(value, list):
        inner = "".join(f"<ResourceRecord><Value>{escape(v)}</Value></ResourceRecord>" for v in value)
    else:
        inner = escape(str(value))
    return f"<{tag}>{inner}</{tag}>"


def same(a, b):
    """Whether two record sets are the same to Route 53: the order of values is of no meaning."""
    def plain(record):
        record = copy.deepcopy(record)
        if "ResourceRecords" in record:
            values = record["ResourceRecords"]
            if record["Type"] in ("CNAME", "NS", "PTR"):
                values = [canonical_name(v) for v in values]
            record["ResourceRecords"] = sorted(values)
        if "AliasTarget" in record:
            record["AliasTarget"]["DNSName"] = canonical_name(record["AliasTarget"].get("DNSName", ""))
        return record
    return plain(a) == plain(b)


class Zone:
    def __init__(self, zone_id, name, records):
        self.id, self.name, self.records = zone_id, name, records
        self.published = [(0.0, records)]  # (in sync at, record sets)

    def in_sync(self):
        now = time.monotonic()
        while len(self.published) > 1 and self.published[1][0] <= now:
            self.published.pop(0)
        return self.published[0][1]

    def apply(self, changes):
        """The record sets after the batch, or Refused; changes nothing itself."""
        records = list(self.records)
        problems = []
        for action, record in changes:
            problem = self.change(records, action, record)
            if problem:
                problems.append(problem)
        if problems:
            raise Refused(400, "InvalidChangeBatch", "[" + ", ".join(problems) + "]")
        for record in records:
            alike = [r for r in records if r["Name"] == record["Name"]]
            if record["Type"] == "CNAME" and any(r["Type"] != "CNAME" for r in alike):
                problems.append(f"RRSet of type CNAME with DNS name {record['Name']} is not permitted as it conflicts "
                                f"with other records with the same DNS name in zone {self.name}")
            if any(r["Type"] == record["Type"] and ("SetIdentifier" in r) != ("SetIdentifier" in record) for r in alike):
                problems.append(f"RRSet with DNS name {record['Name']}, type {record['Type']} cannot be created as a "
                                "simple RRSet and one with a SetIdentifier at once")
        for kind in ("NS", "SOA"):
            if not any(r["Type"] == kind and r["Name"] == self.name for r in records):
                problems.append(f"A HostedZone must contain at least one {kind} record for the zone itself.")
        if problems:
            raise Refused(400, "InvalidChangeBatch", "[" + ", ".join(sorted(set(problems))) + "]")
        return sorted(records, key=sort_key)

    def change(self, records, action, record):
        """Applies one change to `records`, or returns what is wrong with it."""
        name, kind = record["Name"], record["Type"]
        if name != self.name and not name.endswith("." + self.name):
            return f"RRSet with DNS name {name} is not permitted in zone {self.name}"
        if kind == "CNAME" and name == self.name:
            return f"RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {self.name}"
        if kind == "CNAME" and len(record.get("ResourceRecords", [])) > 1:
            return f"CNAME {name} must have exactly one value"
        key = (name, kind, record.get("SetIdentifier"))
        there = next((r for r in records if (r["Name"], r["Type"], r.get("SetIdentifier")) == key), None)
        said = f"resource record set [name='{name}', type='{kind}'"
        said += f", set identifier='{key[2]}']" if key[2] else "]"
        if action == "CREATE" and there:
            return f"Tried to create {said} but it already exists"
        if action == "DELETE" and not there:
            return f"Tried to delete {said} but it was not found"
        if action == "DELETE" and not same(record, there):
            return f"Tried to delete {said} but the values provided do not match the current values"
        if there:
            records.remove(there)
        if action != "DELETE":
            records.append(record)
        return None


class Stub:
    def __init__(self, moto_port, pending):
        self.moto_port, self.pending = moto_port, pending
        self.lock = threading.RLock()      # counters, faults, changes
        self.zones = {}
        self.changes = {}                  # change id -> (submitted, in sync at)
        self.checks = {}                   # health check id -> {"Id", "CallerReference", "HealthCheckConfig", "HealthCheckVersion"}
        self.faults = {}
        self.released = threading.Event()
        self.kept = ({}, {})
        self.reset()

    def reset(self):
        self.total = self.changing = self.applied = 0
        self.operations = {}
        self.faults.clear()

    # -- counting and faults

    def count(self, op, changes):
        with self.lock:
            self.total += 1
            self.changing += changes
            self.operations[op] = self.operations.get(op, 0) + 1

    def fault(self, op, route53, changes):
        """The next fault that meets this call, as (kind, seconds), or None; it is used up."""
        with self.lock:
            for kind in FAULTS:
                fault = self.faults.get(kind)
                if not fault or fault["n"] <= 0:
                    continue
                wanted = fault.get("op") or ("route53" if kind == "throttle" else "ChangeResourceRecordSets")
                if wanted == op or (wanted == "*" and changes) or (wanted == "route53" and route53):
                    fault["n"] -= 1
                    return kind, float(fault.get("seconds", 60 if kind == "hold" else 2))
        return None

    def control(self, asked):
        with self.lock:
            if asked.get("reset"):
                self.reset()
            for key, value in asked.items():
                if key in FAULTS:
                    value = value if isinstance(value, dict) else {"n": value}
                    self.faults[key] = {"n": int(value.get("n", 1)), **{k: value[k] for k in ("seconds", "op") if k in value}}
                elif key == "pending_seconds":
                    self.pending = float(value)
                elif key == "settle" and value:
                    now = time.monotonic()
                    self.changes = {c: (made, min(at, now)) for c, (made, at) in self.changes.items()}
                    for zone in self.zones.values():
                        zone.published = [(0.0, zone.records)]
                elif key == "release" and value:
                    self.released.set()
                    self.released = threading.Event()
                elif key == "keep" and value:
                    self.kept = copy.deepcopy(({z.id: z.records for z in self.zones.values()}, self.checks))
                elif key == "meddle" and "zone" in value:
                    zone = self.zone(value["zone"])
                    zone.records = zone.apply([("UPSERT", value["set"])])
                    zone.published = [(0.0, zone.records)]
                elif key == "meddle":
                    check = self.checks[value["check"]]
                    check["HealthCheckConfig"].update(value["config"])
                    check["HealthCheckVersion"] = str(int(check["HealthCheckVersion"]) + 1)
                elif key == "restore" and value:
                    records, self.checks = copy.deepcopy(self.kept)
                    for zone in self.zones.values():
                        zone.records = records[zone.id]
                        zone.published = [(0.0, zone.records)]
                elif key not in ("reset", "settle", "release"):
                    raise ValueError(f"unknown key {key}")
            return self.state()

    def state(self):
        with self.lock:
            return {
                "total": self.total,            # calls of AWS, setup not counted
                "changes": self.changing,       # of these, calls that ask for a change, whatever came of them
                "applied": self.applied,        # batches of record set changes that were applied
                "operations": self.operations,
                "pending_seconds": self.pending,
                "faults": {k: v for k, v in self.faults.items() if v["n"] > 0},
                "record_sets": {z.id: z.records for z in self.zones.values()},
                "in_sync": {z.id: z.in_sync() for z in self.zones.values()},
                "health_checks": self.checks,
            }

    # -- Route 53

    def moto(self, method, path, headers=None, body=b""):
        """(status, headers, body) from moto."""
        link = http.client.HTTPConnection("127.0.0.1", self.moto_port, timeout=120)
        try:
            link.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers or [("Host", "route53.amazonaws.com"), (
                    "Authorization", "AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/route53/aws4_request, "
                    "SignedHeaders=host, Signature=0")]:
                link.putheader(name, value)
            link.putheader("Content-Length", str(len(body)))
            link.endheaders(body)
            reply = link.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            link.close()

    def zone(self, zone_id):
        """The zone, with what moto put into it when it was made."""
        with self.lock:
            if zone_id not in self.zones:
                status, _, found = self.moto("GET", f"{API}hostedzone/{zone_id[1:]}")
                if status != 200 or zone_id[0] != "Z":
                    raise Refused(404, "NoSuchHostedZone", f"No hosted zone found with ID: {zone_id}")
                name = ET.fromstring(found).findtext(f".//{{{NS}}}Name")
                _, _, listed = self.moto("GET", f"{API}hostedzone/{zone_id[1:]}/rrset")
                records = [tree(r) for r in ET.fromstring(listed).iter(f"{{{NS}}}ResourceRecordSet")]
                for record in records:
                    record["Name"], record["TTL"] = canonical_name(record["Name"]), int(record["TTL"])
                    record["ResourceRecords"] = [re.sub(r"^\{'Value': '(.*)'\}$", r"\1", v)  # moto's SOA
                                                 for v in record["ResourceRecords"]]
                self.zones[zone_id] = Zone(zone_id, canonical_name(name), sorted(records, key=sort_key))
            return self.zones[zone_id]

    def note_change(self):
        """A new change id and its ChangeInfo."""
        change = "C" + "".join(random.choices(string.ascii_uppercase + string.digits, k=20))
        with self.lock:
            self.changes[change] = (datetime.datetime.now(datetime.timezone.utc), time.monotonic() + self.pending)
        return change, self.change_info(change)

    def change_info(self, change):
        with self.lock:
            if change not in self.changes:
                raise Refused(404, "NoSuchChange", f"Could not find resource with ID: {change}")
            submitted, at = self.changes[change]
        status = "INSYNC" if time.monotonic() >= at else "PENDING"
        when = submitted.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        return (f"<ChangeInfo><Id>/change/{change}</Id><Status>{status}</Status>"
                f"<SubmittedAt>{when}</SubmittedAt></ChangeInfo>")

    def read_batch(self, body):
        """[(action, record set)] of a ChangeResourceRecordSets body."""
        def invalid(message):
            return Refused(400, "InvalidInput", message)
        try:
            root = ET.fromstring(body)
        except ET.ParseError as error:
            raise invalid(f"Invalid XML: {error}") from None
        changes = []
        for change in root.iter(f"{{{NS}}}Change"):
            action = change.findtext(f"{{{NS}}}Action")
            element = change.find(f"{{{NS}}}ResourceRecordSet")
            record = tree(element) if element is not None else {}
            if not isinstance(record, dict) or not record.get("Name"):
                raise invalid("Invalid request: a change without a record set name")
            record["Name"] = canonical_name(record["Name"])
            where = f"in Change with [Action={action}, Name={record['Name']}, Type={record.get('Type')}]"
            if action not in ("CREATE", "DELETE", "UPSERT"):
                raise invalid(f"Invalid request: Invalid Action {where}")
            if record.get("Type") not in TYPES:
                raise invalid(f"Invalid request: Invalid Type {where}")
            plain = "TTL" in record and record.get("ResourceRecords")
            if bool(plain) == ("AliasTarget" in record):
                raise invalid("Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], "
                              f"or TrafficPolicyInstanceId] {where}")
            if plain and not re.fullmatch(r"\d{1,10}", record["TTL"]):
                raise invalid(f"Invalid request: Invalid TTL {where}")
            if plain:
                record["TTL"] = int(record["TTL"])
            changes.append((action, record))
        if not changes:
            raise invalid("Invalid request: no changes")
        return changes

    def change_records(self, zone_id, body):
        zone = self.zone(zone_id)
        changes = self.read_batch(body)
        with self.lock:
            records = zone.apply(changes)
            change, info = self.note_change()
            zone.records = records
            zone.published.append((self.changes[change][1], records))
            self.applied += 1
        return 200, (f'<?xml version="1.0"?>\n<ChangeResourceRecordSetsResponse xmlns="{NS}">{info}'
                     "</ChangeResourceRecordSetsResponse>")

    def health_check(self, op, ident, body):
        """(status, answer, id) of a call about one health check."""
        root = ET.fromstring(body) if body else None
        with self.lock:
            if op == "CreateHealthCheck":
                asked = tree(root)
                ident = request_id()
                self.checks[ident] = {"Id": ident, "CallerReference": asked["CallerReference"],
                                      "HealthCheckConfig": asked["HealthCheckConfig"], "HealthCheckVersion": "1"}
            check = self.checks.get(ident)
            if check is None:
                raise Refused(404, "NoSuchHealthCheck", f"A health check with id {ident} does not exist")
            if op == "UpdateHealthCheck":
                asked = tree(root)
                if asked.pop("HealthCheckVersion", check["HealthCheckVersion"]) != check["HealthCheckVersion"]:
                    raise Refused(409, "HealthCheckVersionMismatch", "The health check was changed since it was read")
                check["HealthCheckConfig"].update(asked)
                check["HealthCheckVersion"] = str(int(check["HealthCheckVersion"]) + 1)
            if op == "DeleteHealthCheck":
                del self.checks[ident]
            return 201 if op == "CreateHealthCheck" else 200, (
                f'<?xml version="1.0"?>\n<{op}Response xmlns="{NS}">{record_xml(check, "HealthCheck")}</{op}Response>'), ident

    def list_records(self, zone_id, query):
        zone = self.zone(zone_id)
        name, kind, ident = (query.get(k, [None])[0] for k in ("name", "type", "identifier"))
        most = min(int(query.get("maxitems", ["300"])[0]), 300)
        if kind and not name:
            raise Refused(400, "InvalidInput", "The input is not valid: type without name")
        if kind and kind not in TYPES:
            raise Refused(400, "InvalidInput", f"Invalid Type {kind}")
        with self.lock:
            records = zone.records
        if name:
            start = (canonical_name(name).rstrip(".").split(".")[::-1], kind or "", ident or "")
            records = [r for r in records if sort_key(r) >= start]
        page, rest = records[:most], records[most:]
        more = ""
        if rest:
            more = f"<NextRecordName>{escape(rest[0]['Name'])}</NextRecordName><NextRecordType>{rest[0]['Type']}</NextRecordType>"
            if "SetIdentifier" in rest[0]:
                more += f"<NextRecordIdentifier>{escape(rest[0]['SetIdentifier'])}</NextRecordIdentifier>"
        return 200, (f'<?xml version="1.0"?>\n<ListResourceRecordSetsResponse xmlns="{NS}"><ResourceRecordSets>'
                     + "".join(record_xml(r) for r in page)
                     + f"</ResourceRecordSets><IsTruncated>{'true' if rest else 'false'}</IsTruncated>{more}"
                       f"<MaxItems>{most}</MaxItems></ListResourceRecordSetsResponse>")

    def dns(self, name):
        """What a resolver would answer: the record set that is in sync."""
        name = canonical_name(name)
        with self.lock:
            found = [r for z in self.zones.values() for r in z.in_sync() if r["Name"] == name and r["Type"] in ("CNAME", "A")]
        if len(found) > 1:  # weighted: one by chance, never one of weight 0 beside others
            weights = [int(r.get("Weight", 1)) for r in found]
            found = random.choices(found, weights if any(weights) else None)
        if not found:
            return None
        record = found[0]
        if "AliasTarget" in record:
            return {"value": record["AliasTarget"]["DNSName"], "ttl": 1, "type": record["Type"]}
        return {"value": record["ResourceRecords"][0], "ttl": record["TTL"], "type": record["Type"]}

    def fix_zone_answer(self, op, body):
        """Moto's answers about zones, made true: its changes are pending and its counts are this stub's.

        A zone's id is moto's with a Z in front, as Route 53's are.
        """
        text = re.sub(r"<Id>/hostedzone/", "<Id>/hostedzone/Z", body.decode())
        if op in ("CreateHostedZone", "DeleteHostedZone") and "<ChangeInfo>" in text:
            text = re.sub(r"<ChangeInfo>.*?</ChangeInfo>", lambda _: self.note_change()[1], text, flags=re.S)

        def count(match):
            zone = self.zones.get(match.group(2))
            n = len(zone.records) if zone else match.group(4)
            return f"{match.group(1)}{match.group(2)}{match.group(3)}{n}"
        pattern = r"(<Id>/hostedzone/)(\w+)(</Id>(?:(?!<HostedZone>).)*?<ResourceRecordSetCount>)(\d+)"
        return re.sub(pattern, count, text, flags=re.S).encode()


def operation(method, path, query, body):
    """(name, is Route 53, asks for a change, id in the path) of a call."""
    if path.startswith(API):
        parts = path[len(API):].strip("/").split("/")
        kind, ident, rest = parts[0], parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else ""
        names = {
            ("hostedzone", "POST", False, ""): "CreateHostedZone", ("hostedzone", "GET", False, ""): "ListHostedZones",
            ("hostedzone", "GET", True, ""): "GetHostedZone", ("hostedzone", "DELETE", True, ""): "DeleteHostedZone",
            ("hostedzone", "POST", True, ""): "UpdateHostedZoneComment",
            ("hostedzone", "POST", True, "rrset"): "ChangeResourceRecordSets",
            ("hostedzone", "GET", True, "rrset"): "ListResourceRecordSets",
            ("hostedzonesbyname", "GET", False, ""): "ListHostedZonesByName",
            ("hostedzonecount", "GET", False, ""): "GetHostedZoneCount",
            ("change", "GET", True, ""): "GetChange",
            ("healthcheck", "POST", False, ""): "CreateHealthCheck", ("healthcheck", "GET", False, ""): "ListHealthChecks",
            ("healthcheck", "POST", True, ""): "UpdateHealthCheck", ("healthcheck", "GET", True, ""): "GetHealthCheck",
            ("healthcheck", "DELETE", True, ""): "DeleteHealthCheck",
            ("healthcheck", "GET", True, "status"): "GetHealthCheckStatus",
        }
        name = names.get((kind, method, bool(ident), rest), f"route53:{method} {'/'.join([kind, rest]).strip('/')}")
        return name, True, method not in ("GET", "HEAD"), ident
    if path == "/" and method == "POST" and not query:  # a query API such as STS
        action = urllib.parse.parse_qs(body.decode("latin-1")).get("Action", ["?"])[0]
        return action, False, not action.startswith(("Get", "List", "Describe", "AssumeRole")), ""
    level = "Object" if path.strip("/").count("/") else "Bucket" if path.strip("/") else "Service"
    marks = ("acl", "versioning", "versions", "uploads", "tagging", "retention", "object-lock", "replication", "policy",
             "legal-hold", "encryption", "lifecycle", "location", "delete", "select", "uploadId", "attributes")
    mark = next((f"?{m}" for m in marks if m in query), "")
    return f"s3:{method} {level}{mark}", False, method in ("PUT", "DELETE") or (method == "POST" and mark != "?select"), ""


class Door(lablib.Handler):
    stub = None

    def handle_call(self):
        body = self.body()
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        if url.path == "/_control":
            try:
                asked = json.loads(body) if self.command == "POST" else {}
                return self.answer(200, self.stub.control(asked))
            except (ValueError, TypeError, AttributeError) as error:
                return self.answer(400, {"error": str(error)})
        if url.path == "/_dns":
            found = self.stub.dns(query.get("name", [""])[0])
            return self.answer(200, found) if found else self.answer(404, {"error": "no such name"})
        op, route53, changes, ident = operation(self.command, url.path, query, body)
        self.stub.count(op, changes)
        if route53 and "Credential=lab/" not in (self.headers.get("Authorization") or ""):
            said = Refused(403, "InvalidClientTokenId", "The security token included in the request is invalid")
            return self.answer(said.status, said.xml(), {"Content-Type": "text/xml"})
        fault, seconds = self.stub.fault(op, route53, changes) or (None, 0)
        said = None
        if fault == "throttle":
            said = Refused(400, "Throttling", "Rate exceeded")
        elif fault == "refuse":
            said = Refused(400, "InvalidChangeBatch", "[The lab was told to refuse this batch]")
        elif fault == "busy":
            said = Refused(400, "PriorRequestNotComplete", "The request was rejected because Route 53 was still processing "
                                                           "a prior request.")
        elif fault == "lose_request":
            return self.cut()
        elif fault == "late":
            headers = self.headers.items()
            timer = threading.Timer(seconds, lambda: self.perform(op, route53, ident, query, headers, body))
            timer.daemon = True
            timer.start()
            return self.cut()
        if said:
            return self.answer(said.status, said.xml(), {"Content-Type": "text/xml"})
        released = self.stub.released
        status, headers, reply = self.perform(op, route53, ident, query, self.headers.items(), body)
        if fault == "lose_reply":
            return self.cut()
        if fault == "break":
            said = Refused(500, "InternalFailure", "The request processing has failed")
            return self.answer(500, said.xml(), {"Content-Type": "text/xml"})
        if fault == "hold":
            released.wait(seconds)
        return self.answer(status, reply, headers)

    def perform(self, op, route53, ident, query, headers, body):
        """Does the call: (status, headers, body)."""
        xml = [("Content-Type", "text/xml")]
        try:
            if op == "ChangeResourceRecordSets":
                status, text = self.stub.change_records(ident, body)
                return status, xml, text.encode()
            if op == "ListResourceRecordSets":
                status, text = self.stub.list_records(ident, query)
                return status, xml, text.encode()
            if op in ("CreateHealthCheck", "GetHealthCheck", "UpdateHealthCheck", "DeleteHealthCheck"):
                status, text, made = self.stub.health_check(op, ident, body)
                return status, xml + [("Location", f"https://route53.amazonaws.com{API}healthcheck/{made}")], text.encode()
            if op == "GetChange":
                info = self.stub.change_info(ident)
                return 200, xml, f'<?xml version="1.0"?>\n<GetChangeResponse xmlns="{NS}">{info}</GetChangeResponse>'.encode()
            if op == "DeleteHostedZone" and any(r["Type"] not in ("NS", "SOA") for r in self.stub.zone(ident).records):
                raise Refused(400, "HostedZoneNotEmpty", "The hosted zone contains record sets besides NS and SOA")
        except Refused as refused:
            return refused.status, xml, refused.xml()
        hop = ("connection", "keep-alive", "transfer-encoding", "content-length", "expect", "date", "server")
        kept = [(n, v) for n, v in headers if n.lower() not in hop]
        path = self.path
        if route53 and "/hostedzone/" in path:
            if not ident.startswith("Z"):
                refused = Refused(404, "NoSuchHostedZone", f"No hosted zone found with ID: {ident}")
                return refused.status, xml, refused.xml()
            path = path.replace(f"/hostedzone/{ident}", f"/hostedzone/{ident[1:]}")
        status, back, reply = self.stub.moto(self.command, path, kept, body)
        back = [(n, v) for n, v in back if n.lower() not in hop or (n.lower() == "content-length" and self.command == "HEAD")]
        if route53:
            back = [(n, v.replace("/hostedzone/", "/hostedzone/Z") if n.lower() == "location" else v) for n, v in back]
        if route53 and status < 300:
            reply = self.stub.fix_zone_answer(op, reply)
            if op == "DeleteHostedZone":
                self.stub.zones.pop(ident, None)
            for zone in re.findall(rb"<Id>/hostedzone/(\w+)</Id>", reply) if op == "CreateHostedZone" else ():
                self.stub.zone(zone.decode())
        return status, back, reply

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_call


if __name__ == "__main__":
    Door.stub = Stub(int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 1.5)
    lablib.Server(("127.0.0.1", int(sys.argv[1])), Door).serve_forever()
