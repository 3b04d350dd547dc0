"""Two object stores of Mallee, either of which may replicate into the other: processes, roles, and keys of users."""

import json
import os
import subprocess
import uuid

import boto3
from botocore.config import Config

from alone import Alone
from s3_jobs import eventually
from s3_tools import program
from support import free_port, run
from test_s3_pgbackrest import TlsTerminator
from test_s3_replication import READS, TRUST, WRITES, policy, rule, status

# What docs/operations.md says that the key of a store needs there.
AT_A_MALLEE = [
    "s3:GetBucketVersioning",
    "s3:ListBucket",
    "s3:GetObjectVersion",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:ReplicateObject",
    "s3:ReplicateDelete",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
    "s3:ReplicateTags",
    "s3:PutObjectAcl",
    "s3:BypassGovernanceRetention",
]
AT_ANY = ["s3:GetObject", "s3:PutObjectTagging", "s3:DeleteObjectTagging", "s3:AbortMultipartUpload"]
PATIENCE = 60


class Example:
    """The example `walrus_serve` in place of `mallee walrus`, for quick trials: its users may all do everything."""

    environment = {"AWS_ACCESS_KEY_ID": "AKIAWALRUSTEST000001", "AWS_SECRET_ACCESS_KEY": "walrus/test+secret"}

    def __init__(self, data):
        self.data, self.more, self.port, self.region = data, [], free_port(), "us-east-1"
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        peers = " ".join(word for word in self.more if word != "--s3-peer")
        environment = {**os.environ, "WALRUS_PORT": str(self.port), **({"WALRUS_PEER": peers} if peers else {})}
        command = [os.environ["WALRUS_SERVE"], str(self.data)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert int(self.process.stdout.readline()) == self.port

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)

    def client(self, service, id=None, secret=None):
        keys = (id or self.environment["AWS_ACCESS_KEY_ID"], secret or self.environment["AWS_SECRET_ACCESS_KEY"])
        return connected(self.endpoint, *keys, self.region)


def connected(endpoint, id, secret, region):
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
    return boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=id, aws_secret_access_key=secret, region_name=region, config=config)


class Side:
    """A store, a role that replicates from it, and keys of a user by which others replicate into it."""

    def __init__(self, data):
        self.example = bool(os.environ.get("WALRUS_SERVE"))
        data.mkdir()
        self.data, self.store = data, Example(data) if self.example else Alone(data)
        self.s3, self.region = self.store.client("s3"), self.store.client("s3").meta.region_name
        if self.example:
            self.role, self.keys = "arn:aws:iam::111111111111:role/replicator", {}
            for kind in ("mallee", "s3"):
                self.keys[kind] = tuple(Example.environment.values())
            return
        iam = self.store.client("iam")
        self.role = iam.create_role(RoleName="replicator", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        iam.put_role_policy(RoleName="replicator", PolicyName="p", PolicyDocument=policy(*READS, *WRITES))
        self.keys = {kind: self.user(f"of-{kind}", actions) for kind, actions in (("mallee", AT_A_MALLEE), ("s3", AT_A_MALLEE + AT_ANY))}

    def user(self, name, actions):
        iam = self.store.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*actions))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def begin(self, *peers):
        """Starts it again; it knows these stores then."""
        self.store.stop()
        self.store.more = [word for peer in peers for word in ("--s3-peer", peer)]
        self.store.start()

    def make(self, **options):
        name = f"peer-{uuid.uuid4().hex[:12]}"
        if self.region != "us-east-1":
            options["CreateBucketConfiguration"] = {"LocationConstraint": self.region}
        self.s3.create_bucket(Bucket=name, **options)
        self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name


def secret_file(directory, secret):
    file = directory / f"secret-{uuid.uuid4().hex[:8]}"
    file.touch(mode=0o600)
    file.write_text(secret + "\n")
    return file


def declared(name, side, kind, *more, secret=None):
    id, own = side.keys[kind]
    file = secret_file(side.data, secret or own)
    return ",".join([f"{name}={side.store.endpoint}", f"kind={kind}", f"key={id}", f"secret-file={file}", f"region={side.region}", *more])


def to(peer, name, *arguments, **more):
    made = rule(name, *arguments, **more)
    made["Destination"]["Bucket"] = f"arn:aws:s3:{peer}::{name}"
    return made


def tags(s3, bucket, key):
    return {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}


def finished(s3, bucket, key):
    return eventually(lambda: (s := status(s3, bucket, key)) != "PENDING" and s, PATIENCE)


class Tls(TlsTerminator):
    """TLS in front of a store, with a certificate that an authority of its own has signed."""

    def __init__(self, directory, port):
        super().__init__(directory, port)
        key, request, self.ca = directory / "leaf.key", directory / "leaf.csr", directory / "ca.crt"
        openssl, new = program("openssl"), ["-newkey", "rsa:2048", "-nodes"]
        run(openssl, "req", "-x509", *new, "-days", "2", "-subj", "/CN=authority", "-keyout", directory / "ca.key", "-out", self.ca)
        run(openssl, "req", *new, "-subj", "/CN=localhost", "-keyout", key, "-out", request)
        (directory / "names").write_text("subjectAltName=DNS:localhost\n")
        by = ["-CA", self.ca, "-CAkey", directory / "ca.key", "-days", "2", "-extfile", directory / "names"]
        run(openssl, "x509", "-req", "-in", request, *by, "-out", directory / "leaf.crt")
        self.context.load_cert_chain(directory / "leaf.crt", key)
