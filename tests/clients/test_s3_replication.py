"""Replication between buckets, as boto3 asks for it."""

import json
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from s3_jobs import bucket, eventually, refused, s3, store  # noqa: F401 (fixtures)

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
READS = [
    "s3:GetReplicationConfiguration",
    "s3:ListBucket",
    "s3:GetObjectVersionForReplication",
    "s3:GetObjectVersionAcl",
    "s3:GetObjectVersionTagging",
    "s3:GetObjectRetention",
    "s3:GetObjectLegalHold",
]
WRITES = ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags", "s3:ObjectOwnerOverrideToBucketOwner"]


def policy(*actions):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]})


@pytest.fixture(scope="module")
def role(store):
    """ARN of a role that may replicate. (Without a cloud there are no roles: each stands for its account's root.)"""
    if not store.cloud:
        return "arn:aws:iam::111111111111:role/replicator"
    iam = store.cloud.client("iam")
    arn = iam.create_role(RoleName="replicator", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName="replicator", PolicyName="p", PolicyDocument=policy(*READS, *WRITES))
    return arn


@pytest.fixture
def make(s3):
    def made(versioned=True, client=s3, **options):
        name = f"repl-{uuid.uuid4().hex[:12]}"
        region = client.meta.region_name
        if region != "us-east-1":
            options["CreateBucketConfiguration"] = {"LocationConstraint": region}
        client.create_bucket(Bucket=name, **options)
        if versioned:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    return made


def hold(s3, bucket, key):
    """Of a version that never had one: none."""
    try:
        return s3.get_object_legal_hold(Bucket=bucket, Key=key)["LegalHold"]["Status"]
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchObjectLockConfiguration", error
        return None


def rule(to, number=1, markers="Disabled", **more):
    destination = {"Bucket": f"arn:aws:s3:::{to}", **more.pop("Destination", {})}
    return {
        "ID": f"r{number}",
        "Priority": number,
        "Status": "Enabled",
        "Filter": {},
        "DeleteMarkerReplication": {"Status": markers},
        "Destination": destination,
        **more,
    }


def replicate(s3, role, source, *rules):
    s3.put_bucket_replication(Bucket=source, ReplicationConfiguration={"Role": role, "Rules": list(rules)})


def status(s3, bucket, key, version=None):
    named = {"VersionId": version} if version else {}
    return s3.head_object(Bucket=bucket, Key=key, **named).get("ReplicationStatus")


def ended(s3, bucket, key, version=None):
    return eventually(lambda: (s := status(s3, bucket, key, version)) != "PENDING" and s)


def versions(s3, bucket):
    """Key, version, whether it is the newest, and whether it is a delete marker, as a listing has them."""
    page = s3.list_object_versions(Bucket=bucket)
    rows = [(v["Key"], v["VersionId"], v["IsLatest"], False) for v in page.get("Versions", [])]
    return sorted(rows + [(m["Key"], m["VersionId"], m["IsLatest"], True) for m in page.get("DeleteMarkers", [])])


def test_configurations_read_back(s3, role, make):
    source, to = make(), make()
    refused("ReplicationConfigurationNotFoundError", 404, s3.get_bucket_replication, Bucket=source)
    rules = [
        rule(to, 1, Filter={"And": {"Prefix": "a/", "Tags": [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": ""}]}}),
        rule(to, 2, "Enabled", Filter={"Prefix": "b/"}, Destination={"StorageClass": "STANDARD_IA"}),
        rule(to, 3, Filter={"Tag": {"Key": "k", "Value": "v"}}, SourceSelectionCriteria={"ReplicaModifications": {"Status": "Enabled"}}),
        {**rule(to, 4, Filter={"Prefix": ""}), "Status": "Disabled", "ExistingObjectReplication": {"Status": "Disabled"}},
    ]
    replicate(s3, role, source, *rules)
    found = s3.get_bucket_replication(Bucket=source)["ReplicationConfiguration"]
    assert found == {"Role": role, "Rules": rules}
    first_form = {"ID": "old", "Prefix": "p", "Status": "Enabled", "Destination": {"Bucket": f"arn:aws:s3:::{to}"}}
    replicate(s3, role, source, first_form)
    assert s3.get_bucket_replication(Bucket=source)["ReplicationConfiguration"]["Rules"] == [first_form]
    reply = refused("InvalidBucketState", 409, s3.put_bucket_versioning, Bucket=source, VersioningConfiguration={"Status": "Suspended"})
    assert "replication" in reply["Error"]["Message"]
    s3.delete_bucket_replication(Bucket=source)
    refused("ReplicationConfigurationNotFoundError", 404, s3.get_bucket_replication, Bucket=source)
    s3.put_bucket_versioning(Bucket=source, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_bucket_replication(Bucket=source)


def test_what_is_refused(s3, role, make):
    source, to, plain = make(), make(), make(versioned=False)
    locked = make(ObjectLockEnabledForBucket=True)

    def put(code, http, *rules, bucket=source, role=role):
        with pytest.raises(ClientError) as caught:
            replicate(s3, role, bucket, *rules)
        reply = caught.value.response
        assert (reply["Error"]["Code"], reply["ResponseMetadata"]["HTTPStatusCode"]) == (code, http), reply

    put("InvalidRequest", 400, rule(to), bucket=plain)
    put("InvalidRequest", 400, rule(plain))
    put("InvalidRequest", 400, rule("there-is-no-such-bucket-here"))
    put("InvalidRequest", 400, rule(source))
    put("InvalidRequest", 400, rule(to), bucket=locked)
    put("InvalidArgument", 400, rule(to, Destination={"Account": "999999999999"}))
    put("InvalidRequest", 400, rule(to, Destination={"AccessControlTranslation": {"Owner": "Destination"}}))
    put("InvalidRequest", 400, rule(to), {**rule(to, 2), "Priority": 1})
    put("InvalidArgument", 400, rule(to), {**rule(to, 2), "ID": "r1"})
    put("InvalidRequest", 400, {k: v for k, v in rule(to).items() if k != "Priority"})
    put("InvalidRequest", 400, {k: v for k, v in rule(to).items() if k != "DeleteMarkerReplication"})
    put("InvalidRequest", 400, rule(to, 1, "Enabled", Filter={"Tag": {"Key": "k", "Value": "v"}}))
    put("InvalidArgument", 400, rule(to), role="replicator")
    put("AccessDenied", 403, rule(to), role="arn:aws:iam::999999999999:role/replicator")
    on = {"Status": "Enabled"}
    for feature in (
        {"ReplicationTime": {**on, "Time": {"Minutes": 15}}, "Metrics": {**on, "EventThreshold": {"Minutes": 15}}},
        {"Metrics": on},
        {"EncryptionConfiguration": {"ReplicaKmsKeyID": "arn:aws:kms:r:111111111111:key/k"}},
        {"StorageClass": "DEEP_ARCHIVE"},
    ):
        put("NotImplemented", 501, rule(to, Destination=feature))
    put("InvalidRequest", 400, rule(to, Destination={"Bucket": f"arn:aws:s3:elsewhere::{to}"}))
    put("NotImplemented", 501, rule(to, SourceSelectionCriteria={"SseKmsEncryptedObjects": on}))
    put("NotImplemented", 501, rule(to, ExistingObjectReplication=on))
    with pytest.raises(ClientError) as caught:
        s3.put_bucket_replication(Bucket=source, Token="t", ReplicationConfiguration={"Role": role, "Rules": [rule(to)]})
    assert caught.value.response["Error"]["Code"] == "NotImplemented"
    refused("ReplicationConfigurationNotFoundError", 404, s3.get_bucket_replication, Bucket=source)


def test_objects_come_as_they_are(s3, role, make):
    source, to = make(), make()
    s3.put_object(Bucket=source, Key="before", Body=b"before")
    replicate(s3, role, source, rule(to))
    put = s3.put_object(
        Bucket=source,
        Key="a b/ü+",
        Body=b"some bytes",
        ContentType="text/x",
        CacheControl="no-store",
        Metadata={"one": "1"},
        Tagging="k=v&l=",
        StorageClass="STANDARD_IA",
        ChecksumAlgorithm="SHA256",
    )
    large = b"0123456789abcdef" * 400_000
    upload = s3.create_multipart_upload(Bucket=source, Key="large", ChecksumAlgorithm="CRC32")["UploadId"]
    parts = []
    for number, data in ((1, large), (2, b"end")):
        part = s3.upload_part(Bucket=source, Key="large", UploadId=upload, PartNumber=number, Body=data, ChecksumAlgorithm="CRC32")
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    whole = s3.complete_multipart_upload(Bucket=source, Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
    copy = s3.copy_object(Bucket=source, Key="copy", CopySource={"Bucket": source, "Key": "before"})
    assert ended(s3, source, "a b/ü+") == "COMPLETED"
    assert ended(s3, source, "large") == "COMPLETED" and ended(s3, source, "copy") == "COMPLETED"
    ours = s3.get_object(Bucket=source, Key="a b/ü+", ChecksumMode="ENABLED")
    theirs = s3.get_object(Bucket=to, Key="a b/ü+", ChecksumMode="ENABLED")
    assert theirs["Body"].read() == b"some bytes" and theirs["ReplicationStatus"] == "REPLICA"
    for name in ("VersionId", "ETag", "LastModified", "ContentType", "CacheControl", "Metadata", "StorageClass", "ChecksumSHA256", "TagCount"):
        assert theirs[name] == ours[name], name
    assert theirs["VersionId"] == put["VersionId"]
    assert {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=to, Key="a b/ü+")["TagSet"]} == {"k": "v", "l": ""}
    read = s3.get_object(Bucket=to, Key="large", ChecksumMode="ENABLED")
    assert read["Body"].read() == large + b"end" and read["ETag"] == whole["ETag"] and read["ChecksumCRC32"] == whole["ChecksumCRC32"]
    assert s3.head_object(Bucket=to, Key="large", PartNumber=2)["PartsCount"] == 2
    assert s3.head_object(Bucket=to, Key="copy")["VersionId"] == copy["VersionId"]
    # What was there before is not brought, nor is it said to be.
    assert status(s3, source, "before") is None
    refused("404", 404, s3.head_object, Bucket=to, Key="before")


def test_order_markers_and_deletions(s3, role, make):
    source, to, other = make(), make(), make()
    replicate(s3, role, source, rule(to, 1, "Enabled"), rule(other, 2))
    for n in range(8):
        last = s3.put_object(Bucket=source, Key="k", Body=str(n).encode())["VersionId"]
    first = versions(s3, source)[0][1]
    marker = s3.delete_object(Bucket=source, Key="k")["VersionId"]
    again = s3.put_object(Bucket=source, Key="again", Body=b"1")["VersionId"]
    ended(s3, source, "again")
    ended(s3, source, "k", last)
    eventually(lambda: versions(s3, to) == versions(s3, source))
    refused("404", 404, s3.head_object, Bucket=to, Key="k")
    # The other bucket is told of no deletion.
    assert s3.get_object(Bucket=other, Key="k")["Body"].read() == b"7"
    assert len([v for v in versions(s3, other) if v[0] == "k"]) == 8
    # Versions that are deleted stay where they were brought.
    s3.delete_object(Bucket=source, Key="k", VersionId=first)
    s3.delete_object(Bucket=source, Key="k", VersionId=marker)
    s3.put_object(Bucket=source, Key="later", Body=b"")
    ended(s3, source, "later")
    there = [v for v in versions(s3, to) if v[0] == "k"]
    assert len(there) == 9 and ("k", marker, True, True) in there and first in [v[1] for v in there]
    assert s3.head_object(Bucket=to, Key="again")["VersionId"] == again


def test_filters(s3, role, make):
    source, to, tagged = make(), make(), make()
    replicate(
        s3,
        role,
        source,
        rule(to, 1, Filter={"Prefix": "in/"}),
        rule(tagged, 2, Filter={"And": {"Prefix": "in/", "Tags": [{"Key": "k", "Value": "v"}]}}, Destination={"StorageClass": "ONEZONE_IA"}),
        {**rule(to, 9), "Status": "Disabled"},
    )
    s3.put_object(Bucket=source, Key="out", Body=b"")
    s3.put_object(Bucket=source, Key="in/plain", Body=b"")
    s3.put_object(Bucket=source, Key="in/tagged", Body=b"", Tagging="k=v&x=y")
    assert ended(s3, source, "in/plain") == ended(s3, source, "in/tagged") == "COMPLETED"
    assert status(s3, source, "out") is None
    assert [v[0] for v in versions(s3, to)] == ["in/plain", "in/tagged"]
    assert [v[0] for v in versions(s3, tagged)] == ["in/tagged"]
    assert s3.head_object(Bucket=tagged, Key="in/tagged")["StorageClass"] == "ONEZONE_IA"


def test_later_changes_come_along_and_nothing_goes_in_circles(s3, role, make):
    one, two, three = make(ObjectLockEnabledForBucket=True), make(ObjectLockEnabledForBucket=True), make(ObjectLockEnabledForBucket=True)
    back = {"SourceSelectionCriteria": {"ReplicaModifications": {"Status": "Enabled"}}}
    replicate(s3, role, one, rule(two, **back))
    replicate(s3, role, two, rule(one, 1, **back), rule(three, 2))

    def tags(bucket, key="k"):
        return {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}

    s3.put_object(Bucket=one, Key="k", Body=b"1")
    s3.put_object(Bucket=two, Key="l", Body=b"2")
    assert ended(s3, one, "k") == ended(s3, two, "l") == "COMPLETED"
    assert status(s3, two, "k") == status(s3, one, "l") == "REPLICA"
    # What was brought goes no further.
    assert [v[0] for v in versions(s3, three)] == ["l"]
    s3.put_object_tagging(Bucket=one, Key="k", Tagging={"TagSet": [{"Key": "from", "Value": "one"}]})
    assert ended(s3, one, "k") == "COMPLETED" and tags(two) == {"from": "one"}
    # And back: what is changed of a replica.
    s3.put_object_tagging(Bucket=two, Key="k", Tagging={"TagSet": [{"Key": "from", "Value": "two"}]})
    eventually(lambda: tags(one) == {"from": "two"})
    s3.put_object_legal_hold(Bucket=one, Key="k", LegalHold={"Status": "ON"})
    eventually(lambda: hold(s3, two, "k") == "ON")
    s3.put_object_legal_hold(Bucket=two, Key="k", LegalHold={"Status": "OFF"})
    eventually(lambda: hold(s3, one, "k") == "OFF")
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    s3.put_object_retention(Bucket=one, Key="k", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until})
    eventually(lambda: s3.head_object(Bucket=two, Key="k").get("ObjectLockMode") == "GOVERNANCE")
    time.sleep(3)
    assert tags(one) == tags(two) == {"from": "two"}
    assert len(versions(s3, one)) == len(versions(s3, two)) == 2 and len(versions(s3, three)) == 1
    assert versions(s3, one) == versions(s3, two)


def test_written_on_both_sides_the_newest_is_the_same(s3, role, make):
    one, two = make(), make()
    replicate(s3, role, one, rule(two, 1, "Enabled"))
    replicate(s3, role, two, rule(one, 1, "Enabled"))
    for n in range(20):
        s3.put_object(Bucket=one if n % 3 else two, Key="k", Body=str(n).encode())
        if n == 10:
            s3.delete_object(Bucket=two, Key="k")
    eventually(lambda: len(versions(s3, one)) == 21 and versions(s3, one) == versions(s3, two))
    assert s3.get_object(Bucket=one, Key="k")["Body"].read() == s3.get_object(Bucket=two, Key="k")["Body"].read() == b"19"


def test_encrypted_objects(s3, role, make, store):
    source, to, plain = make(), make(), make()
    s3.put_bucket_encryption(
        Bucket=to,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
    )
    replicate(s3, role, source, rule(to, 1), rule(plain, 2))
    data = b"x" * 300_000
    s3.put_object(Bucket=source, Key="plain", Body=data)
    s3.put_object(Bucket=source, Key="store", Body=data, ServerSideEncryption="AES256")
    assert ended(s3, source, "plain") == ended(s3, source, "store") == "COMPLETED"
    for bucket, key, kept in ((to, "plain", "AES256"), (to, "store", "AES256"), (plain, "store", "AES256"), (plain, "plain", None)):
        read = s3.get_object(Bucket=bucket, Key=key)
        assert read["Body"].read() == data and read.get("ServerSideEncryption") == kept, (bucket, key)
    # An overwritten and deleted source takes nothing from its replicas.
    for _, version, _, _ in versions(s3, source):
        s3.delete_object(Bucket=source, Key="plain", VersionId=version)
    assert s3.get_object(Bucket=plain, Key="plain")["Body"].read() == data


def test_what_fails_says_so(s3, role, make, store):
    source, to, other = make(), make(), make()
    replicate(s3, role, source, rule(to, 1), rule(other, 2))
    topic = {"TopicArn": store.arn("sns", "hook"), "Events": ["s3:Replication:OperationFailedReplication"]}
    s3.put_bucket_notification_configuration(Bucket=source, NotificationConfiguration={"TopicConfigurations": [topic]})
    s3.delete_bucket(Bucket=to)
    s3.put_object(Bucket=source, Key="k", Body=b"1")
    assert ended(s3, source, "k") == "FAILED"
    eventually(lambda: versions(s3, other))
    record = eventually(lambda: store.hook.records(source))[0]
    assert record["eventName"] == "Replication:OperationFailedReplication"
    data = record["replicationEventData"]
    assert data["destinationBucket"] == f"arn:aws:s3:::{to}" and "does not exist" in data["failureReason"]
    # A change of it asks for it anew.
    s3.create_bucket(
        Bucket=to, **({} if store.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": store.region}})
    )
    s3.put_bucket_versioning(Bucket=to, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object_tagging(Bucket=source, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert ended(s3, source, "k") == "COMPLETED"
    assert s3.get_object(Bucket=to, Key="k")["Body"].read() == b"1"
    # Where versioning was suspended nothing can be brought.
    s3.put_bucket_versioning(Bucket=to, VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket=source, Key="l", Body=b"1")
    assert ended(s3, source, "l") == "FAILED"


def test_a_bucket_of_another_account(store, s3, role, make):
    other, number = store.other()
    source, to = make(), make(client=other)
    account = {"Account": number, "AccessControlTranslation": {"Owner": "Destination"}}
    replicate(s3, role, source, rule(to, 1, "Enabled", Destination=account))
    s3.put_object(Bucket=source, Key="no", Body=b"1")
    assert ended(s3, source, "no") == "FAILED"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{store.account}:root"},
        "Action": ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ObjectOwnerOverrideToBucketOwner"],
        "Resource": f"arn:aws:s3:::{to}/*",
    }
    other.put_bucket_policy(Bucket=to, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket=source, Key="yes", Body=b"1", Tagging="k=v")
    assert ended(s3, source, "yes") == "COMPLETED"
    read = other.get_object(Bucket=to, Key="yes")
    assert read["Body"].read() == b"1" and read["ReplicationStatus"] == "REPLICA"
    # As on AWS: without s3:ReplicateTags the object comes without its tags.
    assert other.get_object_tagging(Bucket=to, Key="yes")["TagSet"] == []
    # Nor does it take those that its owner gave it.
    own = {"TagSet": [{"Key": "of", "Value": "ours"}]}
    other.put_object_tagging(Bucket=to, Key="yes", Tagging=own)
    for tags in ([{"Key": "k", "Value": "w"}], []):
        s3.put_object_tagging(Bucket=source, Key="yes", Tagging={"TagSet": tags})
        assert ended(s3, source, "yes") == "COMPLETED"
        assert other.get_object_tagging(Bucket=to, Key="yes")["TagSet"] == own["TagSet"]
    s3.delete_object(Bucket=source, Key="yes")
    eventually(lambda: any(marker for *_, marker in versions(other, to)))
    with pytest.raises(ClientError):
        s3.get_object(Bucket=to, Key="yes")


def test_the_role_decides(store, s3, make):
    if not store.cloud:
        pytest.skip("there are no roles without a cloud")
    iam = store.cloud.client("iam")
    source, to = make(), make()

    def made(name, trust=TRUST, *actions):
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*(actions or READS + WRITES)))
        return arn

    ec2 = {**TRUST, "Statement": [{**TRUST["Statement"][0], "Principal": {"Service": "ec2.amazonaws.com"}}]}
    account = made("weak", TRUST, *READS).split(":")[4]
    for arn in (f"arn:aws:iam::{account}:role/none", made("of-ec2", ec2)):
        refused("InvalidRequest", 400, s3.put_bucket_replication, Bucket=source, ReplicationConfiguration={"Role": arn, "Rules": [rule(to)]})
    weak = f"arn:aws:iam::{account}:role/weak"
    # Who puts the configuration must be allowed to pass the role.
    iam.create_user(UserName="ann")
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=policy("s3:*"))
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = store.cloud.client("s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    denied = refused("AccessDenied", 403, ann.put_bucket_replication, Bucket=source, ReplicationConfiguration={"Role": weak, "Rules": [rule(to)]})
    assert "iam:PassRole" in denied["Error"]["Message"]
    iam.put_user_policy(UserName="ann", PolicyName="q", PolicyDocument=policy("iam:PassRole"))
    replicate(ann, weak, source, rule(to))
    s3.put_object(Bucket=source, Key="k", Body=b"1")
    assert ended(s3, source, "k") == "FAILED"
    iam.put_role_policy(RoleName="weak", PolicyName="q", PolicyDocument=policy("s3:ReplicateObject"))
    s3.put_object(Bucket=source, Key="k", Body=b"2", Tagging="a=b")
    assert ended(s3, source, "k") == "COMPLETED"
    assert s3.get_object_tagging(Bucket=to, Key="k")["TagSet"] == []
    # A role that is gone brings nothing.
    for name in ("p", "q"):
        iam.delete_role_policy(RoleName="weak", PolicyName=name)
    iam.delete_role(RoleName="weak")
    s3.put_object(Bucket=source, Key="l", Body=b"1")
    assert ended(s3, source, "l") == "FAILED"
