"""Replication between object stores, either of which knows the other."""

import os
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

from s3_jobs import eventually
from s3_sides import PATIENCE, Side, Tls, declared, finished, secret_file, tags, to
from support import BINARY
from test_s3_replication import ended, policy, replicate, rule, status, versions


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """Two stores that know each other: as one that keeps versions, and as any other."""
    root = tmp_path_factory.mktemp("stores")
    near, far = Side(root / "near"), Side(root / "far")
    nobody = secret_file(root, "s")
    near.begin(
        declared("far", far, "mallee"),
        declared("plain", far, "s3"),
        declared("wrong", far, "mallee", secret="wrong"),
        declared("others", far, "mallee", "account=999999999999"),
        f"dead=http://127.0.0.1:9,kind=s3,key=A,secret-file={nobody}",
    )
    far.begin(declared("near", near, "mallee"), declared("plain", near, "s3"))
    yield near, far
    for side in (near, far):
        side.store.stop()


def test_versions_are_the_same_in_the_other_store(sides):
    near, far = sides
    ours, theirs = near.s3, far.s3
    source, there = near.make(ObjectLockEnabledForBucket=True), far.make(ObjectLockEnabledForBucket=True)
    replicate(ours, near.role, source, to("far", there, 1, "Enabled"))
    rules = ours.get_bucket_replication(Bucket=source)["ReplicationConfiguration"]["Rules"]
    assert rules[0]["Destination"]["Bucket"] == f"arn:aws:s3:far::{there}"
    key = "a b/ü+%41"
    for n in range(3):
        ours.put_object(Bucket=source, Key=key, Body=str(n).encode())
    ours.delete_object(Bucket=source, Key=key)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    last = ours.put_object(
        Bucket=source, Key=key, Body=b"last" * 100_000, ContentType="text/x", CacheControl="no-store", Metadata={"one": "1"},
        Tagging="k=v&l=%C3%BC", StorageClass="STANDARD_IA", ServerSideEncryption="AES256", ChecksumAlgorithm="SHA256",
        ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until,
    )  # fmt: skip
    upload = ours.create_multipart_upload(Bucket=source, Key="large", ChecksumAlgorithm="CRC32")["UploadId"]
    parts = []
    for number, data in ((1, b"x" * (5 << 20)), (2, b"end")):
        part = ours.upload_part(Bucket=source, Key="large", UploadId=upload, PartNumber=number, Body=data, ChecksumAlgorithm="CRC32")
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    whole = ours.complete_multipart_upload(Bucket=source, Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
    assert ended(ours, source, key) == ended(ours, source, "large") == "COMPLETED"
    eventually(lambda: versions(ours, source) == versions(theirs, there))
    a, b = (s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED") for s3, bucket in ((ours, source), (theirs, there)))
    assert b["Body"].read() == b"last" * 100_000 and b["VersionId"] == last["VersionId"] and b["ReplicationStatus"] == "REPLICA"
    for name in ("ETag", "LastModified", "ContentType", "CacheControl", "Metadata", "StorageClass", "ServerSideEncryption",
                 "ChecksumSHA256", "TagCount", "ObjectLockMode", "ObjectLockRetainUntilDate"):  # fmt: skip
        assert a[name] == b[name], name
    large = theirs.get_object(Bucket=there, Key="large")
    assert large["ETag"] == whole["ETag"] and large["Body"].read() == b"x" * (5 << 20) + b"end"
    # What is said of it later: of the large object without its bytes.
    for name in (key, "large"):
        ours.put_object_tagging(Bucket=source, Key=name, Tagging={"TagSet": [{"Key": "new", "Value": "1"}]})
        ours.put_object_legal_hold(Bucket=source, Key=name, LegalHold={"Status": "ON"})
        assert ended(ours, source, name) == "COMPLETED"
        assert tags(theirs, there, name) == {"new": "1"}
        assert theirs.get_object_legal_hold(Bucket=there, Key=name)["LegalHold"]["Status"] == "ON"
        ours.put_object_legal_hold(Bucket=source, Key=name, LegalHold={"Status": "OFF"})
        assert ended(ours, source, name) == "COMPLETED"
        assert theirs.get_object_legal_hold(Bucket=there, Key=name)["LegalHold"]["Status"] == "OFF"
    sooner = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1800))
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": sooner}
    ours.put_object_retention(Bucket=source, Key=key, Retention=retention, BypassGovernanceRetention=True)
    assert ended(ours, source, key) == "COMPLETED"
    a, b = (s3.get_object_retention(Bucket=bucket, Key=key)["Retention"] for s3, bucket in ((ours, source), (theirs, there)))
    assert a == b and a["RetainUntilDate"].strftime("%Y-%m-%dT%H:%M:%SZ") == sooner
    assert versions(ours, source) == versions(theirs, there)


def test_lists_grant_to_groups(sides):
    near, far = sides
    made = [side.make(ObjectOwnership="ObjectWriter") for side in sides]
    for side, bucket in zip(sides, made):
        side.s3.delete_public_access_block(Bucket=bucket)
    source, there = made
    replicate(near.s3, near.role, source, to("far", there))
    near.s3.put_object(Bucket=source, Key="k", Body=b"", ACL="public-read")
    assert ended(near.s3, source, "k") == "COMPLETED"

    def granted():
        grants = far.s3.get_object_acl(Bucket=there, Key="k")["Grants"]
        return sorted((g["Permission"], g["Grantee"].get("URI", "").rsplit("/", 1)[-1]) for g in grants)

    assert granted() == [("FULL_CONTROL", ""), ("READ", "AllUsers")]
    near.s3.put_object_acl(Bucket=source, Key="k", ACL="private")
    assert ended(near.s3, source, "k") == "COMPLETED"
    assert granted() == [("FULL_CONTROL", "")]
    # Where lists that are public are blocked, they are.
    block = {"BlockPublicAcls": True, "IgnorePublicAcls": False, "BlockPublicPolicy": False, "RestrictPublicBuckets": False}
    far.s3.put_public_access_block(Bucket=there, PublicAccessBlockConfiguration=block)
    near.s3.put_object(Bucket=source, Key="l", Body=b"", ACL="public-read")
    assert ended(near.s3, source, "l") == "FAILED"


def test_both_replicate_into_each_other_and_nothing_goes_in_circles(sides):
    near, far = sides
    one, two, three = near.make(), far.make(), far.make()
    back = {"SourceSelectionCriteria": {"ReplicaModifications": {"Status": "Enabled"}}}
    replicate(near.s3, near.role, one, to("far", two, 1, "Enabled", **back))
    replicate(far.s3, far.role, two, to("near", one, 1, "Enabled", **back), rule(three, 2))
    for n in range(20):
        side, bucket = ((near, one), (far, two))[n % 3 == 0]
        side.s3.put_object(Bucket=bucket, Key="k", Body=str(n).encode())
        if n == 10:
            far.s3.delete_object(Bucket=two, Key="k")
    near.s3.put_object(Bucket=one, Key="ours", Body=b"1")
    eventually(lambda: len(versions(near.s3, one)) == 22 and versions(near.s3, one) == versions(far.s3, two), PATIENCE)
    assert near.s3.get_object(Bucket=one, Key="k")["Body"].read() == far.s3.get_object(Bucket=two, Key="k")["Body"].read() == b"19"
    assert ended(near.s3, one, "ours") == "COMPLETED" and status(far.s3, two, "ours") == "REPLICA"
    # What is changed of a replica goes back to where it came from.
    far.s3.put_object_tagging(Bucket=two, Key="ours", Tagging={"TagSet": [{"Key": "from", "Value": "far"}]})
    eventually(lambda: tags(near.s3, one, "ours") == {"from": "far"})
    time.sleep(3)
    assert len(versions(near.s3, one)) == 22 and versions(near.s3, one) == versions(far.s3, two)
    # Replicas go no further.
    assert "ours" not in [v[0] for v in versions(far.s3, three)]


def test_rules_that_cannot_be(sides):
    near, far = sides
    source, there, off = near.make(), far.make(), far.make()
    far.s3.put_bucket_versioning(Bucket=off, VersioningConfiguration={"Status": "Suspended"})

    def refused(code, *arguments, says="", **more):
        with pytest.raises(ClientError) as caught:
            replicate(near.s3, near.role, source, to(*arguments, **more))
        error = caught.value.response["Error"]
        assert error["Code"] == code and says in error["Message"], error

    refused("InvalidRequest", "unknown", there, says="not declared")
    refused("InvalidRequest", "far", "there-is-no-such-bucket-at-all", says="does not exist")
    refused("InvalidRequest", "plain", off, says="no versioning enabled")
    refused("InvalidRequest", "wrong", there, says="SignatureDoesNotMatch")
    refused("InvalidRequest", "others", there, says="may not be replicated into others")
    refused("ServiceUnavailable", "dead", there, says="cannot be asked now")
    refused("NotImplemented", "far", there, Destination={"Account": "111111111111"})


def test_what_is_refused_there_fails_and_may_be_tried_again(sides):
    near, far = sides
    source, there = near.make(), far.make()
    replicate(near.s3, near.role, source, to("far", there))
    far.s3.put_bucket_versioning(Bucket=there, VersioningConfiguration={"Status": "Suspended"})
    near.s3.put_object(Bucket=source, Key="k", Body=b"1")
    assert ended(near.s3, source, "k") == "FAILED"
    far.s3.put_bucket_versioning(Bucket=there, VersioningConfiguration={"Status": "Enabled"})
    near.s3.put_object_tagging(Bucket=source, Key="k", Tagging={"TagSet": [{"Key": "again", "Value": "1"}]})
    assert ended(near.s3, source, "k") == "COMPLETED"
    assert far.s3.get_object(Bucket=there, Key="k")["Body"].read() == b"1"
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": os.urandom(32)}
    if near.example:
        near.s3.put_object(Bucket=source, Key="own", Body=b"1", **customer)
        eventually(lambda: near.s3.head_object(Bucket=source, Key="own", **customer)["ReplicationStatus"] == "FAILED")
    far.s3.delete_object(Bucket=there, Key="k", VersionId=versions(far.s3, there)[0][1])
    far.s3.delete_bucket(Bucket=there)
    near.s3.put_object(Bucket=source, Key="l", Body=b"1")
    assert ended(near.s3, source, "l") == "FAILED"


def test_the_other_store_is_down_and_this_one_dies(sides):
    near, far = sides
    source, there = near.make(), far.make()
    replicate(near.s3, near.role, source, to("far", there, 1, "Enabled"))
    near.s3.put_object(Bucket=source, Key="before", Body=b"1")
    assert ended(near.s3, source, "before") == "COMPLETED"
    far.store.stop()
    bodies = {f"k{n:02}": os.urandom(1 + n * 20_000) for n in range(30)}
    for key, body in bodies.items():
        near.s3.put_object(Bucket=source, Key=key, Body=body)
    near.s3.delete_object(Bucket=source, Key="before")
    time.sleep(2)
    assert status(near.s3, source, "k00") == "PENDING"
    far.store.start()
    # While they are brought, it dies, and again.
    for pause in (0.5, 1.5):
        time.sleep(pause)
        near.store.process.kill()
        near.store.process.wait()
        near.store.start()
    eventually(lambda: versions(near.s3, source) == versions(far.s3, there), PATIENCE)
    for key, body in bodies.items():
        assert finished(near.s3, source, key) == "COMPLETED"
        assert far.s3.get_object(Bucket=there, Key=key)["Body"].read() == body


def test_strangers_write_no_replicas(sides):
    near, _ = sides
    if near.example:
        pytest.skip("its users are all roots")
    bucket = near.make()
    bob = near.store.client("s3", *near.user("bob", ["s3:PutObject", "s3:DeleteObject"]))
    id = f"{(1 << 64) - 5:016x}{7:016x}"
    claims = {"x-mallee-replica-version": id, "x-mallee-replica-time": "5"}
    bob.put_object(Bucket=bucket, Key="k", Body=b"")
    claim = claims
    bob.meta.events.register("before-sign.s3", lambda request, **_: [request.headers.add_header(*pair) for pair in claim.items()] and None)
    put, delete = lambda: bob.put_object(Bucket=bucket, Key="k", Body=b"x"), lambda: bob.delete_object(Bucket=bucket, Key="k")
    for claim in (claims, {"x-mallee-replica": "s3"}):
        for call in (put, delete):
            with pytest.raises(ClientError) as caught:
                call()
            assert caught.value.response["Error"]["Code"] == "AccessDenied"
    near.store.client("iam").put_user_policy(UserName="bob", PolicyName="q", PolicyDocument=policy("s3:ReplicateObject"))
    claim = {**claims, "x-mallee-replica-version": "0123"}
    with pytest.raises(ClientError) as caught:
        put()
    assert caught.value.response["Error"]["Code"] == "InvalidArgument"
    claim = claims
    assert put()["VersionId"] == id
    # What the version has that is there is not bob's to change.
    for more in ("x-mallee-replica-list", "x-amz-tagging"):
        claim = {**claims, more: ""}
        with pytest.raises(ClientError) as caught:
            put()
        assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert len(versions(near.s3, bucket)) == 2


def test_a_secret_that_others_may_read_is_none(tmp_path):
    if os.environ.get("WALRUS_SERVE"):
        pytest.skip("it has no command line")
    file = tmp_path / "secret"
    file.write_text("hidden-secret")
    file.chmod(0o644)
    command = [BINARY, "walrus", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", "--s3-peer"]
    said = subprocess.run([*command, f"far=http://h,kind=s3,key=A,secret-file={file}"], capture_output=True, text=True, timeout=60)
    assert said.returncode != 0 and "chmod 600" in said.stderr and "hidden-secret" not in said.stderr + said.stdout


def test_over_tls_whose_authority_is_named(tmp_path):
    near, far = (Side(tmp_path / name) for name in ("near", "far"))
    tls = Tls(tmp_path, far.store.port)
    endpoint = f"https://localhost:{tls.port}"
    near.begin(
        declared("known", far, "mallee", f"ca={tls.ca}").replace(far.store.endpoint, endpoint),
        declared("stranger", far, "mallee").replace(far.store.endpoint, endpoint),
    )
    try:
        source, there = near.make(), far.make()
        with pytest.raises(ClientError) as caught:
            replicate(near.s3, near.role, source, to("stranger", there))
        assert caught.value.response["Error"]["Code"] == "ServiceUnavailable"
        replicate(near.s3, near.role, source, to("known", there))
        body = os.urandom(300_000)
        near.s3.put_object(Bucket=source, Key="k", Body=body)
        assert ended(near.s3, source, "k") == "COMPLETED"
        assert far.s3.get_object(Bucket=there, Key="k")["Body"].read() == body
    finally:
        tls.close()
        for side in (near, far):
            side.store.stop()
