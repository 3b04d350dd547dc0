"""What policies say about objects, over real HTTP at each door: the cloud's port with Walrus in the same process, the
cloud's port before a Walrus of its own, and that Walrus's port."""

import base64
import hashlib
import json
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
import pytest
import requests
from botocore.config import Config

from support import BINARY, free_port

START_SECONDS_MAX = 30
OBJECTS = {"a": b"source", "a?b": b"secret", "k": b"kept"}
DELETE = b"<Delete><Object><Key>k</Key></Object><Object><Key>a</Key></Object></Delete>"


class Door:
    """S3 at one address, and the IAM of its cloud."""

    def __init__(self, s3, endpoint, environment):
        self.s3, self.environment = s3, environment
        config = Config(retries={"max_attempts": 1, "mode": "standard"}, s3={"addressing_style": "path"})
        client = lambda service, url: boto3.client(
            service,
            endpoint_url=url,
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_DEFAULT_REGION"],
            config=config,
        )
        self.root, self.iam = client("s3", s3), client("iam", endpoint)

    def send(self, keys, method, path, headers=None, body=b""):
        """One request, signed with the user's keys."""
        headers = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest(), **(headers or {})}
        request = botocore.awsrequest.AWSRequest(method=method, url=self.s3 + path, data=body, headers=headers)
        credentials = botocore.credentials.Credentials(*keys)
        botocore.auth.S3SigV4Auth(credentials, "s3", self.environment["AWS_DEFAULT_REGION"]).add_auth(request)
        return requests.request(method, self.s3 + path, headers=dict(request.headers), data=body, timeout=30)

    def state(self, bucket):
        """All that a request might change."""
        buckets = [b["Name"] for b in self.root.list_buckets()["Buckets"]]
        keys = [o["Key"] for o in self.root.list_objects_v2(Bucket=bucket).get("Contents", [])]
        bodies = {key: self.root.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
        uploads = [u["UploadId"] for u in self.root.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
        parts = [self.root.list_parts(Bucket=bucket, Key="k", UploadId=id).get("Parts", []) for id in uploads]
        return buckets, bodies, uploads, parts


class Tiers:
    """Cloud controller and Walrus, each a process."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="mallee-test-")
        self.root = Path(self.directory.name)
        self.processes = []
        api, control, s3, images = (free_port() for _ in range(4))
        self.start("cloud", "cloud", "--listen", f"127.0.0.1:{api}", "--control", f"127.0.0.1:{control}")
        token = self.ask("node", "token", "--role", "walrus")
        self.start("walrus", "walrus", "--join", f"https://127.0.0.1:{control}", "--listen", f"127.0.0.1:{s3}",
                   "--control", f"127.0.0.1:{images}", "--data", str(self.root / "objects"), "--token", token)
        lines = (line.removeprefix("export ") for line in self.ask("env").splitlines() if line.startswith("export "))
        self.environment = {name: value.strip("'") for name, value in (line.split("=", 1) for line in lines)}
        self.cloud, self.walrus = f"http://127.0.0.1:{api}", f"http://127.0.0.1:{s3}"

    def start(self, name, *arguments):
        log = open(self.root / f"{name}.log", "ab")
        command = [BINARY, "--state", self.root / name, *arguments]
        self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def ask(self, *arguments):
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            done = subprocess.run([BINARY, "--state", self.root / "cloud", *arguments], capture_output=True, text=True)
            if done.returncode == 0:
                return done.stdout.strip()
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.05)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(timeout=20)
        self.directory.cleanup()


@pytest.fixture(scope="module")
def tiers():
    tiers = Tiers()
    yield tiers
    tiers.stop()


@pytest.fixture(scope="module", params=["one process", "cloud", "walrus"])
def door(request):
    if request.param == "one process":
        cloud = request.getfixturevalue("cloud")
        yield Door(cloud.endpoint, cloud.endpoint, cloud.environment)
        return
    tiers = request.getfixturevalue("tiers")
    door = Door(tiers.cloud if request.param == "cloud" else tiers.walrus, tiers.cloud, tiers.environment)
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            door.root.list_buckets()
            break
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield door


@pytest.fixture(scope="module")
def bucket(door):
    name = f"rights-{uuid.uuid4().hex[:8]}"
    door.root.create_bucket(Bucket=name)
    for key, body in OBJECTS.items():
        door.root.put_object(Bucket=name, Key=key, Body=body)
    # Something for DeleteBucket to succeed on.
    door.root.create_bucket(Bucket=f"{name}-empty")
    upload = door.root.create_multipart_upload(Bucket=name, Key="k")["UploadId"]
    door.root.upload_part(Bucket=name, Key="k", UploadId=upload, PartNumber=1, Body=b"part")
    yield name
    door.root.abort_multipart_upload(Bucket=name, Key="k", UploadId=upload)
    for key in OBJECTS:
        door.root.delete_object(Bucket=name, Key=key)
    door.root.delete_bucket(Bucket=name)
    door.root.delete_bucket(Bucket=f"{name}-empty")


@pytest.fixture(scope="module")
def user(door):
    name = f"user-{uuid.uuid4().hex[:8]}"
    door.iam.create_user(UserName=name)
    key = door.iam.create_access_key(UserName=name)["AccessKey"]
    yield name, (key["AccessKeyId"], key["SecretAccessKey"])
    door.iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    door.iam.delete_user(UserName=name)


class Allowed:
    """The user may do these, as `action resource`, for a while."""

    def __init__(self, door, user, *rights):
        self.door, self.user = door, user
        pairs = [right.split(" ", 1) for right in rights]
        arn = lambda resource: resource if resource == "*" else f"arn:aws:s3:::{resource}"
        statements = [{"Effect": "Allow", "Action": action, "Resource": arn(on)} for action, on in pairs]
        self.document = json.dumps({"Version": "2012-10-17", "Statement": statements})

    def __enter__(self):
        self.door.iam.put_user_policy(UserName=self.user, PolicyName="p", PolicyDocument=self.document)

    def __exit__(self, *_):
        self.door.iam.delete_user_policy(UserName=self.user, PolicyName="p")


def code(answer):
    return answer.text.partition("<Code>")[2].partition("</Code>")[0]


# Rights, method, path, headers, and the answers that are right: b is the bucket, e an empty one, n none yet.
HOLES = [
    (["s3:GetBucketLocation e"], "DELETE", "/e?location", {}, 405),
    (["s3:GetBucketLocation n"], "PUT", "/n?location", {}, 405),
    (["s3:PutObject e/*", "s3:PutObject e"], "DELETE", "/e?uploads", {}, 405),
    (["s3:PutObject n/*", "s3:PutObject n"], "PUT", "/n?uploads", {}, 405),
    (["s3:ListMultipartUploadParts b/k"], "HEAD", "/b/k?uploadId=x", {}, 405),
    (["s3:GetBucketLocation b"], "GET", "/b?location&acl", {}, 400),
    (["s3:GetBucketAcl b"], "GET", "/b?acl&location", {}, 400),
    (["s3:GetObject b/a", "s3:PutObject b/k"], "PUT", "/b/k", {"x-amz-copy-source": "b/a?b"}, 403),
    (["s3:GetObject b/a", "s3:PutObject b/k"], "PUT", "/b/k", {"x-amz-copy-source": "b/a%3Fb"}, 403),
    (["s3:GetObject b/a", "s3:PutObject b/k"], "PUT", "/b/k", {"x-amz-copy-source": "b/a?versionId=null"}, 403),
    (["s3:GetObject b/a", "s3:PutObject b/k"], "PUT", "/b/k?partNumber=1&uploadId=x", {"x-amz-copy-source": "b/a?b"}, 403),
    (["s3:PutObject b/k"], "PUT", "/b/k", {"x-amz-copy-source": "b/a"}, 403),
    (["s3:PutObject b/k"], "PUT", "/b/k", {"x-amz-acl": "private"}, 403),
    (["s3:PutObject b/k"], "PUT", "/b/k", {"x-amz-tagging": "a=b"}, 403),
    (["s3:PutObject b/k"], "PUT", "/b/k", {"x-amz-object-lock-legal-hold": "ON"}, 403),
    (["s3:PutObject b/k"], "PUT", "/b/k?retention", {}, 403),
    (["s3:DeleteObject b/k"], "DELETE", "/b/k", {"x-amz-bypass-governance-retention": "true"}, 403),
    (["s3:DeleteObject b/k", "s3:DeleteObject b/a"], "POST", "/b?delete", {"x-amz-bypass-governance-retention": "true"}, 200),
    (["s3:GetObject b/k"], "GET", "/b/k?versionId=null", {}, 403),
    (["s3:DeleteObject b/k"], "DELETE", "/b/k?versionId=null", {}, 403),
    (["s3:PutObject b/k"], "PUT", "/b/k?annotation", {}, 403),
    (["s3:DeleteObject b/k"], "DELETE", "/b/k?annotation", {}, 403),
    (["s3:PutObject b/k", "s3:PutObjectAnnotation b/k"], "PUT", "/b/k?annotation&annotationName=x", {}, 501),
    (["s3:DeleteObject b/k", "s3:DeleteObjectAnnotation b/k"], "DELETE", "/b/k?annotation&annotationName=x", {}, 501),
    (["s3:PutObject b/k"], "PUT", "/b/k?yetUnknown", {}, 501),
    (["s3:DeleteObject b/k"], "DELETE", "/b/k?yetUnknown=", {}, 501),
    (["s3:PutObject b/k"], "PUT", "/b/k?versioning", {}, 501),
    (["s3:CreateBucket n"], "PUT", "/n?metadataInventoryTable", {}, 404),
    (["s3:CreateBucket n"], "PUT", "/n?yetUnknown", {}, 501),
    (["s3:DeleteBucket e"], "DELETE", "/e?metadataConfiguration", {}, 403),
    (["s3:DeleteBucket e"], "DELETE", "/e?yetUnknown", {}, 501),
    (["s3:DeleteBucket e"], "DELETE", "/e?retention", {}, 501),
    (["s3:GetBucketVersioning e"], "DELETE", "/e?versioning", {}, 405),
    (["s3:DeleteObject b"], "POST", "/b?delete", {}, 200),
    (["s3:PutObject b/k", "s3:CreateBucket n/k"], "PUT", "/n%2Fk", {}, 400),
]


def named(text, bucket, method):
    names = {"b": bucket, "e": f"{bucket}-empty", "n": f"{bucket}-none"}
    first, separator, rest = text.partition("/") if "/" in text else text.partition("?")
    if "?" in first:
        first, separator, rest = text.partition("?")
    if "%" in first:
        first, separator, rest = text.partition("%")
    return names.get(first, first) + separator + rest


def batch(body):
    return {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}


@pytest.mark.parametrize("hole", range(len(HOLES)), ids=[f"{h[1]} {h[2]} {' '.join(h[3].values())}" for h in HOLES])
def test_a_small_right_is_not_a_great_one(door, bucket, user, hole):
    rights, method, path, headers, status = HOLES[hole]
    rights = [f"{right.split()[0]} {named(right.split()[1], bucket, method)}" for right in rights]
    path = "/" + named(path[1:], bucket, method)
    headers = {name: named(value, bucket, method) if "source" in name else value for name, value in headers.items()}
    body = DELETE if method == "POST" else b""
    if body:
        headers = {**headers, **batch(body)}
    before = door.state(bucket)
    with Allowed(door, user[0], *rights):
        answer = door.send(user[1], method, path, headers, body)
    assert door.state(bucket) == before, f"{method} {path} changed something: {answer.status_code} {answer.text}"
    assert answer.status_code == status, answer.text
    if method == "POST":
        codes = [rest.partition("</Code>")[0] for rest in answer.text.split("<Code>")[1:]]
        assert codes == ["AccessDenied"] * 2, answer.text
    if status == 403 and answer.text:
        assert code(answer) == "AccessDenied"


def operations():
    """Every operation of the client's own model, as a request."""
    model = botocore.session.get_session().get_service_model("s3")
    for name in model.operation_names:
        # Told from ListBuckets, and from a bucket of that name, only by their hosts.
        if name in ("ListDirectoryBuckets", "WriteGetObjectResponse"):
            continue
        operation = model.operation_model(name)
        shape = operation.input_shape
        members = shape.members if shape else {}
        required = shape.required_members if shape else []
        values = {"PartNumber": "1", "AnnotationName": "x"}
        query = [(members[m].serialization["name"], values.get(m, "x")) for m in required
                 if members[m].serialization.get("location") == "querystring"]
        path, _, sub = operation.http["requestUri"].partition("?")
        path = path.replace("{Bucket}", "b").replace("{Key+}", "k")
        query = "&".join([sub] * bool(sub) + [f"{n}={v}" for n, v in query])
        headers = {"x-amz-copy-source": "b/a"} if name in ("CopyObject", "UploadPartCopy") else {}
        yield name, operation.http["method"], path + (f"?{query}" if query else ""), headers


OPERATIONS = list(operations())


def request_of(name, method, path, headers, bucket):
    path = "/" + named(path[1:], bucket, method)
    headers = {name: named(value, bucket, method) for name, value in headers.items()}
    body = DELETE if name == "DeleteObjects" else b""
    return method, path, {**headers, **(batch(body) if body else {})}, body


def test_nobody_without_a_right_does_anything(door, bucket, user):
    before = door.state(bucket)
    for name, method, path, headers in OPERATIONS:
        answer = door.send(user[1], *request_of(name, method, path, headers, bucket))
        if name == "DeleteObjects":
            assert answer.text.count("<Code>AccessDenied</Code>") == 2 and "<Deleted>" not in answer.text, answer.text
            continue
        assert answer.status_code == 403, f"{name}: {answer.status_code} {answer.text}"
        if method != "HEAD":
            assert code(answer) == "AccessDenied", f"{name}: {answer.text}"
    assert door.state(bucket) == before


# What AWS's documentation says that each takes.
TAKES = {
    "AbortMultipartUpload": ["s3:AbortMultipartUpload b/k"],
    "CompleteMultipartUpload": ["s3:PutObject b/k"],
    "CopyObject": ["s3:PutObject b/k", "s3:GetObject b/a"],
    "CreateBucket": ["s3:CreateBucket b"],
    "CreateMultipartUpload": ["s3:PutObject b/k"],
    "DeleteBucket": ["s3:DeleteBucket b"],
    "DeleteObject": ["s3:DeleteObject b/k"],
    "DeleteObjects": ["s3:DeleteObject b/k", "s3:DeleteObject b/a"],
    "GetBucketAcl": ["s3:GetBucketAcl b"],
    "GetBucketCors": ["s3:GetBucketCORS b"],
    "GetBucketEncryption": ["s3:GetEncryptionConfiguration b"],
    "GetBucketLifecycleConfiguration": ["s3:GetLifecycleConfiguration b"],
    "GetBucketLocation": ["s3:GetBucketLocation b"],
    "GetBucketPolicyStatus": ["s3:GetBucketPolicyStatus b"],
    "GetBucketVersioning": ["s3:GetBucketVersioning b"],
    "GetObject": ["s3:GetObject b/k"],
    "GetObjectAttributes": ["s3:GetObject b/k", "s3:GetObjectAttributes b/k"],
    "GetObjectLockConfiguration": ["s3:GetBucketObjectLockConfiguration b"],
    "GetObjectTagging": ["s3:GetObjectTagging b/k"],
    "HeadBucket": ["s3:ListBucket b"],
    "HeadObject": ["s3:GetObject b/k"],
    "ListBuckets": ["s3:ListAllMyBuckets *"],
    "ListMultipartUploads": ["s3:ListBucketMultipartUploads b"],
    "ListObjectVersions": ["s3:ListBucketVersions b"],
    "ListObjects": ["s3:ListBucket b"],
    "ListObjectsV2": ["s3:ListBucket b"],
    "ListParts": ["s3:ListMultipartUploadParts b/k"],
    "PutBucketPolicy": ["s3:PutBucketPolicy b"],
    "PutObject": ["s3:PutObject b/k"],
    "UploadPart": ["s3:PutObject b/k"],
    "UploadPartCopy": ["s3:PutObject b/k", "s3:GetObject b/a"],
}


def test_each_takes_its_own_rights_and_no_others(door, user):
    """In a bucket of its own, for they do what they say. Each right is taken away once: then it is refused."""
    bucket = f"exact-{uuid.uuid4().hex[:8]}"
    door.root.create_bucket(Bucket=bucket)
    for name, method, path, headers in OPERATIONS:
        rights = [f"{right.split()[0]} {named(right.split()[1], bucket, method)}" for right in TAKES.get(name, [])]
        if not rights:
            continue
        for key, body in OBJECTS.items():
            if name not in ("DeleteBucket", "CreateBucket"):
                door.root.put_object(Bucket=bucket, Key=key, Body=body)
        if name == "DeleteBucket":
            for key in OBJECTS:
                door.root.delete_object(Bucket=bucket, Key=key)
        request = request_of(name, method, path, headers, bucket)
        for gone in rights if len(rights) > 1 else []:
            with Allowed(door, user[0], *(right for right in rights if right != gone)):
                answer = door.send(user[1], *request)
            if name == "DeleteObjects":
                key = gone.rpartition("/")[2]
                assert f"<Error><Key>{key}</Key><Code>AccessDenied</Code>" in answer.text, answer.text
                assert answer.text.count("<Deleted>") == 1, answer.text
                continue
            assert answer.status_code == 403, f"{name} without {gone}: {answer.text}"
        with Allowed(door, user[0], *rights):
            answer = door.send(user[1], *request)
        assert answer.status_code != 403, f"{name}: {answer.text}"
        if name == "DeleteBucket":
            assert answer.status_code == 204, answer.text
            door.root.create_bucket(Bucket=bucket)
    for upload in door.root.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        door.root.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for key in OBJECTS:
        door.root.delete_object(Bucket=bucket, Key=key)
    door.root.delete_bucket(Bucket=bucket)


def test_conditions_have_values_at_every_door(door, user):
    """One policy, whoever decides: the cloud in this process, or over the network."""
    name = f"keys-{uuid.uuid4().hex[:8]}"
    door.root.create_bucket(Bucket=name)
    door.root.put_object(Bucket=name, Key="k", Body=b"kept")
    door.root.delete_public_access_block(Bucket=name)
    on = {"Principal": "*", "Resource": f"arn:aws:s3:::{name}/*"}
    referer = {"StringLike": {"aws:Referer": "https://example.org/*"}}
    local = {"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}
    formed = {"StringNotEquals": {"s3:authType": "POST"}}
    statements = [
        {**on, "Effect": "Allow", "Action": "s3:GetObject", "Condition": referer},
        {**on, "Effect": "Deny", "Action": "s3:GetObject", "Condition": local},
        {**on, "Effect": "Deny", "Action": "s3:PutObject", "Condition": formed},
    ]
    door.root.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    for page, status in (("https://example.org/x", 200), ("https://example.com/x", 403), ("", 403)):
        answer = requests.get(f"{door.s3}/{name}/k", headers={"Referer": page} if page else {}, timeout=30)
        assert answer.status_code == status, answer.text
    form = door.root.generate_presigned_post(name, "formed")
    sent = requests.post(form["url"], data=form["fields"], files={"file": b"data"}, timeout=30)
    assert sent.status_code == 204, sent.text
    with Allowed(door, user[0], f"s3:PutObject {name}/*"):
        put = door.send(user[1], "PUT", f"/{name}/k", {}, b"x")
    assert put.status_code == 403 and code(put) == "AccessDenied", put.text
    door.root.delete_bucket_policy(Bucket=name)
    for key in ("k", "formed"):
        door.root.delete_object(Bucket=name, Key=key)
    door.root.delete_bucket(Bucket=name)
