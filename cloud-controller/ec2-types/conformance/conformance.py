#!/usr/bin/env python3
"""Compares the generated codecs with botocore, both directions, for every generated operation.

Requests: a random input -> botocore's serialiser -> our decoder -> canonical JSON -> equal to the input.
Replies:  a random output -> our structures -> our XML -> botocore's parser -> equal to the output.

Usage: conformance.py BINARY [--seed N] [--rounds N]
BINARY is the example `conformance` of mallee-ec2-types, built with the feature `conformance`.
Exit code 0 only if every case is equal and every generated operation was covered.
"""

import argparse
import base64
import datetime
import json
import pathlib
import random
import re
import subprocess
import sys

try:
    import botocore.parsers
    import botocore.serialize
    import botocore.session
except ImportError:
    sys.exit("botocore is missing: python3 -m venv .venv && .venv/bin/pip install botocore==1.44.5, then set MALLEE_PYTHON")

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVICES = ("ec2", "iam", "sts")
# Characters that wire formats like to get wrong.
TRICKY = ["a", "Z", "0", "_", "-", ".", " ", "+", "%", "&", "=", "<", ">", '"', "'", "/", "\\", "é", "漢", "𝄞", "\t", "~", "*"]
SAFE = "abcXYZ019_"


class Generator:
    """Random values for shapes; `full` gives every member, else only required ones and a few more."""

    def __init__(self, rng, full, request, protocol):
        self.rng, self.full, self.request, self.protocol = rng, full, request, protocol

    def value(self, shape):
        return getattr(self, "_" + shape.type_name)(shape)

    def _structure(self, shape):
        out = {}
        for name, member in shape.members.items():
            needed = name in shape.required_members
            if needed or self.full or self.rng.random() < 0.15:
                out[name] = self.value(member)
                # No wire can send an empty structure, and EC2's no empty list: a required one has something in it.
                sendable = self.protocol == "query" and member.type_name == "list"
                if needed and self.request and not sendable and pruned(out[name]) in ({}, []):
                    out[name] = Generator(self.rng, True, True, self.protocol).value(member)
        return out

    def _list(self, shape):
        low = 1 if self.full else 0
        high = min(3, shape.metadata.get("max", 3))
        return [self.value(shape.member) for _ in range(self.rng.randint(low, max(low, high)))]

    def _map(self, shape):
        return {self._string(shape.key): self.value(shape.value) for _ in range(self.rng.randint(1, 3))}

    def _string(self, shape):
        if shape.enum and (self.protocol == "query" or self.rng.random() < 0.5):
            return self.rng.choice(shape.enum)
        meta = shape.metadata
        constrained = self.protocol == "query" and (meta.get("pattern") or shape.name.endswith("Type"))
        alphabet = SAFE if constrained else TRICKY
        if constrained and re.fullmatch(r"\^?\[\\d\]\*?\+?\$?|\\d\{12\}", meta.get("pattern") or ""):
            alphabet = "0123456789"
        elif constrained and meta.get("pattern") == "[A-Z0-9]+":
            alphabet = "AXZ019"
        low = meta.get("min", 0) if self.protocol == "query" else 0
        high = meta.get("max", low + 24) if self.protocol == "query" else 24
        length = self.rng.randint(max(low, 1), max(1, min(high, low + 24)))
        text = "".join(self.rng.choice(alphabet) for _ in range(length))
        # White space alone is what XML parsers and form readers may drop; that is no difference of ours.
        return text if text.strip() == text or self.request else "x" + text.strip() + "x"

    def _integer(self, shape):
        low = max(shape.metadata.get("min", -(2**31)), -(2**31))
        high = min(shape.metadata.get("max", 2**31 - 1), 2**31 - 1)
        return self.rng.randint(low, high)

    def _long(self, shape):
        return self.rng.randint(-(2**63), 2**63 - 1)

    def _double(self, shape):
        return self.rng.choice([0.1, 1.5, -2.25, 1e21, 123456.789, 3.0])

    def _float(self, shape):
        return self.rng.choice([0.5, 1.5, -2.25, 1024.0])

    def _boolean(self, shape):
        return self.rng.random() < 0.5

    def _timestamp(self, shape):
        seconds = self.rng.randint(0, 4102444800)
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)

    def _blob(self, shape):
        low = shape.metadata.get("min", 0)
        return bytes(self.rng.randrange(256) for _ in range(self.rng.randint(max(low, 1), low + 20)))


def canonical(value, shape):
    """The form our side speaks: blobs base64, times ISO 8601."""
    kind = shape.type_name
    if kind == "structure":
        return {k: canonical(v, shape.members[k]) for k, v in value.items() if k in shape.members}
    if kind == "list":
        return [canonical(v, shape.member) for v in value]
    if kind == "map":
        return {k: canonical(v, shape.value) for k, v in value.items()}
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind == "timestamp":
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return value


def pruned(value):
    """Without empty collections and structures: the wire cannot carry the difference to absent ones."""
    if isinstance(value, dict):
        out = {k: pruned(v) for k, v in value.items()}
        return {k: v for k, v in out.items() if v not in ({}, []) or v is False}
    if isinstance(value, list):
        return [v for v in (pruned(v) for v in value) if v not in ({}, [])]
    return value


class Peer:
    """Our side, a process that answers JSON lines."""

    def __init__(self, binary):
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def ask(self, case):
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("our side ended without an answer")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def form(body):
    """botocore gives the parameters as a mapping; botocore.awsrequest encodes them like this."""
    from botocore.compat import urlencode

    return urlencode(body, doseq=True)


def request_case(peer, service, model, op, rng, full):
    shape = op.input_shape
    value = Generator(rng, full, True, model.metadata["protocol"]).value(shape) if shape is not None else {}
    serializer = botocore.serialize.create_serializer(model.metadata["protocol"], include_validation=False)
    body = form(serializer.serialize_to_request(value, op)["body"])
    want = pruned(canonical(value, shape)) if shape is not None else {}
    got = peer.ask({"kind": "request", "service": service, "body": body})
    if "ok" not in got:
        return f"{got}\n    body {body[:2000]}"
    got = pruned(got["ok"])
    return None if got == want else f"want {json.dumps(want)[:1500]}\n     got {json.dumps(got)[:1500]}"


def reply_case(peer, service, model, op, rng, full):
    shape = op.output_shape
    value = Generator(rng, full, False, model.metadata["protocol"]).value(shape) if shape is not None else {}
    want = canonical(value, shape) if shape is not None else {}
    got = peer.ask({"kind": "reply", "service": service, "op": op.name, "value": want})
    if "ok" not in got:
        return str(got)
    parser = botocore.parsers.create_parser(model.metadata["protocol"])
    parsed = parser.parse({"body": got["ok"].encode(), "headers": {}, "status_code": 200}, shape)
    meta = parsed.pop("ResponseMetadata", {})
    if meta.get("RequestId") != "00000000-0000-0000-0000-000000000000":
        return f"the request id is lost: {meta}"
    back = pruned(canonical(parsed, shape)) if shape is not None else {}
    want = pruned(want)
    return None if back == want else f"want {json.dumps(want)[:1500]}\n     got {json.dumps(back)[:1500]}\n     xml {got['ok'][:1500]}"


def operations(service):
    lines = (ROOT / "operations" / f"{service}.txt").read_text().splitlines()
    return [l.split("#")[0].strip() for l in lines if l.split("#")[0].strip()]


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("binary")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--rounds", type=int, default=2, help="sparse cases per operation and direction, besides one full case")
    args = args.parse_args()
    session = botocore.session.get_session()
    peer = Peer(args.binary)
    differences = total = 0
    for service in SERVICES:
        model = session.get_service_model(service)
        counts = {"request": 0, "reply": 0}
        for name in operations(service):
            op = model.operation_model(name)
            for kind, case in (("request", request_case), ("reply", reply_case)):
                for i in range(1 + args.rounds):
                    rng = random.Random(f"{args.seed}/{service}/{name}/{kind}/{i}")
                    counts[kind] += 1
                    problem = case(peer, service, model, op, rng, i == 0)
                    if problem:
                        differences += 1
                        if differences <= 20:
                            print(f"DIFFERENT {service}:{name} {kind} {i}\n    {problem}", file=sys.stderr)
        total += sum(counts.values())
        print(f"{service}: {len(operations(service))} operations, {counts['request']} requests, {counts['reply']} replies")
    peer.close()
    print(f"{total} cases, {differences} differences")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
