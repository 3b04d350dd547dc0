"""Server-side encryption of objects, as boto3 sees it: with the store's key, keys of KMS, and keys of clients."""

import base64
import hashlib
import io
import json
import os
import uuid

import pytest
import requests
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from support import Cloud

MIB = 1024 * 1024
CANARY = b"a canary that is in no file of the store "
OWN = os.urandom(32)
OTHER = os.urandom(32)
C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": OWN}
WRONG = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": OTHER}
SOURCE = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": OWN}


@pytest.fixture(scope="module")
def own():
    """A cloud that takes keys of clients over plain HTTP."""
    cloud = Cloud("--simulate", "1", "--s3-sse-c-over-http")
    yield cloud
    cloud.stop()
    cloud.directory.cleanup()


@pytest.fixture(scope="module")
def s3(own):
    return own.client("s3")


@pytest.fixture(scope="module")
def kms(own):
    return own.client("kms")


@pytest.fixture
def key(kms):
    return kms.create_key()["KeyMetadata"]


@pytest.fixture
def bucket(s3):
    name = f"sealed-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    yield name


def refused(code, http, call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    reply = caught.value.response
    assert (reply["Error"]["Code"], reply["ResponseMetadata"]["HTTPStatusCode"]) == (code, http), reply
    return reply["Error"].get("Message", "")


def body(s3, bucket, key, **options):
    return s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()


def data(size, seed=1):
    return (CANARY * (size // len(CANARY) + 1))[: size - 1] + bytes([seed]) if size else b""


SIZES = (0, 1, 100, 4096, 65_488, 65_489, 300_000, 3 * MIB)


@pytest.mark.parametrize("how", ["store", "kms", "client"])
def test_what_is_put_is_got(s3, bucket, key, how):
    asked = {
        "store": {"ServerSideEncryption": "AES256"},
        "kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["KeyId"]},
        "client": C,
    }[how]
    needs = C if how == "client" else {}
    for size in SIZES:
        content = data(size)
        put = s3.put_object(Bucket=bucket, Key="k", Body=content, Metadata={"a": "b"}, **asked)
        got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", **needs)
        head = s3.head_object(Bucket=bucket, Key="k", **needs)
        assert got["Body"].read() == content
        assert (got["ContentLength"], head["ContentLength"], got["Metadata"]) == (size, size, {"a": "b"})
        assert put["ETag"] == got["ETag"] == head["ETag"]
        assert (put["ETag"].strip('"') == hashlib.md5(content).hexdigest()) == (how == "store")
        for reply in (put, got, head):
            if how == "client":
                assert reply["SSECustomerAlgorithm"] == "AES256"
                assert reply["SSECustomerKeyMD5"] == base64.b64encode(hashlib.md5(OWN).digest()).decode()
                assert "ServerSideEncryption" not in reply
            else:
                assert reply["ServerSideEncryption"] == asked["ServerSideEncryption"]
                assert reply.get("SSEKMSKeyId") == (key["Arn"] if how == "kms" else None)
        for first, last in ((0, 0), (1, 70_000), (65_487, 65_488), (65_488, 65_489), (size - 5, size - 1)):
            if 0 <= first and last < size and first <= last:
                part = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={first}-{last}", **needs)
                assert part["Body"].read() == content[first : last + 1], (size, first, last)
                assert part["ContentRange"] == f"bytes {first}-{last}/{size}"
    sizes = {o["Key"]: o["Size"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert sizes == {"k": SIZES[-1]}


def test_the_matrix_of_keys_of_clients(s3, bucket):
    s3.put_object(Bucket=bucket, Key="sealed", Body=CANARY, **C)
    s3.put_object(Bucket=bucket, Key="plain", Body=CANARY)
    for call in (s3.get_object, s3.head_object):
        code = {400: "400", 403: "403"} if call == s3.head_object else {400: "InvalidRequest", 403: "AccessDenied"}
        refused(code[400], 400, call, Bucket=bucket, Key="sealed")
        refused(code[403], 403, call, Bucket=bucket, Key="sealed", **WRONG)
        refused(code[400], 400, call, Bucket=bucket, Key="plain", **C)
        assert call(Bucket=bucket, Key="sealed", **C)["ContentLength"] == len(CANARY)
    put = {"Bucket": bucket, "Key": "x", "Body": b"x"}
    refused("InvalidArgument", 400, s3.put_object, **put, SSECustomerAlgorithm="AES256", SSECustomerKey=b"short")
    refused("InvalidEncryptionAlgorithmError", 400, s3.put_object, **put, SSECustomerAlgorithm="AES128", SSECustomerKey=OWN)
    text = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": base64.b64encode(OWN).decode()}
    refused("InvalidArgument", 400, s3.put_object, **put, **text, SSECustomerKeyMD5="AAAAAAAAAAAAAAAAAAAAAA==")
    refused("InvalidArgument", 400, s3.put_object, **put, **C, ServerSideEncryption="AES256")
    refused("NotImplemented", 501, s3.put_object, **put, ServerSideEncryption="aws:kms:dsse")
    refused("InvalidArgument", 400, s3.put_object, **put, ServerSideEncryption="AES256", SSEKMSKeyId="alias/a")
    # A presigned URL takes the key in headers.
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "sealed", "SSECustomerAlgorithm": "AES256"})
    assert requests.get(url, timeout=10).status_code in (400, 403)


def test_keys_of_clients_need_a_secure_connection(cloud):
    s3 = cloud.client("s3")
    name = f"open-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    text = refused("InvalidRequest", 400, s3.put_object, Bucket=name, Key="k", Body=b"x", **C)
    assert "secure connection" in text
    s3.delete_bucket(Bucket=name)


def test_keys_of_kms(s3, kms, bucket, key):
    context = base64.b64encode(json.dumps({"app": "ledger"}).encode()).decode()
    asked = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["Arn"], "SSEKMSEncryptionContext": context}
    put = s3.put_object(Bucket=bucket, Key="k", Body=CANARY, **asked)
    assert json.loads(base64.b64decode(put["SSEKMSEncryptionContext"])) == {"app": "ledger"}
    assert body(s3, bucket, "k") == CANARY
    # A request brings no method to a read.
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert requests.get(url, timeout=10).content == CANARY
    # Without a key that of the account for S3.
    put = s3.put_object(Bucket=bucket, Key="own", Body=CANARY, ServerSideEncryption="aws:kms", BucketKeyEnabled=True)
    assert put["BucketKeyEnabled"] is True
    managed = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert (put["SSEKMSKeyId"], managed["KeyManager"]) == (managed["Arn"], "AWS")
    assert body(s3, bucket, "own") == CANARY
    # A rotated key opens what it sealed.
    kms.rotate_key_on_demand(KeyId=key["KeyId"])
    assert body(s3, bucket, "k") == CANARY
    s3.put_object(Bucket=bucket, Key="k2", Body=CANARY, ServerSideEncryption="aws:kms", SSEKMSKeyId=key["KeyId"])
    assert body(s3, bucket, "k2") == CANARY
    kms.disable_key(KeyId=key["KeyId"])
    refused("KMS.DisabledException", 400, s3.get_object, Bucket=bucket, Key="k")
    refused("KMS.DisabledException", 400, s3.put_object, Bucket=bucket, Key="x", Body=b"x", **asked)
    assert s3.head_object(Bucket=bucket, Key="k")["SSEKMSKeyId"] == key["Arn"]
    kms.enable_key(KeyId=key["KeyId"])
    assert body(s3, bucket, "k") == CANARY
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    refused("KMS.KMSInvalidStateException", 400, s3.get_object, Bucket=bucket, Key="k")
    nowhere = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": str(uuid.uuid4())}
    refused("KMS.NotFoundException", 400, s3.put_object, Bucket=bucket, Key="x", Body=b"x", **nowhere)


def test_readers_need_the_key_too(own, s3, bucket, key):
    iam = own.client("iam")
    name = f"reader-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    keys = iam.create_access_key(UserName=name)["AccessKey"]

    def allow(*actions, **condition):
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        if condition:
            statement["Condition"] = condition
        s3_only = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": [s3_only] + ([statement] if actions else [])}
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))

    reader = own.client("s3", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"])
    s3.put_object(Bucket=bucket, Key="k", Body=CANARY, ServerSideEncryption="aws:kms", SSEKMSKeyId=key["Arn"])
    asked = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["Arn"]}
    allow()
    text = refused("AccessDenied", 403, reader.get_object, Bucket=bucket, Key="k")
    assert "kms:Decrypt" in text
    refused("AccessDenied", 403, reader.put_object, Bucket=bucket, Key="x", Body=b"x", **asked)
    # The account's key for S3 is for everybody who may use S3.
    reader.put_object(Bucket=bucket, Key="own", Body=CANARY, ServerSideEncryption="aws:kms")
    assert body(reader, bucket, "own") == CANARY
    allow("kms:Decrypt")
    assert body(reader, bucket, "k") == CANARY
    refused("AccessDenied", 403, reader.put_object, Bucket=bucket, Key="x", Body=b"x", **asked)
    region = s3.meta.region_name
    allow("kms:Decrypt", StringEquals={"kms:ViaService": f"s3.{region}.amazonaws.com"})
    assert body(reader, bucket, "k") == CANARY
    allow("kms:Decrypt", StringEquals={"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}/other"})
    refused("AccessDenied", 403, reader.get_object, Bucket=bucket, Key="k")
    allow("kms:Decrypt", StringEquals={"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}/k"})
    assert body(reader, bucket, "k") == CANARY


def test_uploads_in_parts(s3, bucket, key):
    kinds = [
        ({"ServerSideEncryption": "AES256"}, {}),
        ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["Arn"]}, {}),
        (C, C),
    ]
    parts = [data(5 * MIB, 1), data(5 * MIB, 2), data(100_000, 3)]
    whole = b"".join(parts)
    for asked, needs in kinds:
        upload = s3.create_multipart_upload(Bucket=bucket, Key="k", **asked)
        part = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
        done = []
        for number, content in enumerate(parts, 1):
            reply = s3.upload_part(**part, PartNumber=number, Body=content, **needs)
            assert (reply["ETag"].strip('"') == hashlib.md5(content).hexdigest()) == (asked.get("ServerSideEncryption") == "AES256")
            done.append({"PartNumber": number, "ETag": reply["ETag"]})
        if needs:
            refused("InvalidRequest", 400, s3.upload_part, **part, PartNumber=4, Body=b"x")
            refused("InvalidRequest", 400, s3.upload_part, **part, PartNumber=4, Body=b"x", **WRONG)
        else:
            refused("InvalidRequest", 400, s3.upload_part, **part, PartNumber=4, Body=b"x", **C)
        assert [p["Size"] for p in s3.list_parts(**part)["Parts"]] == [len(p) for p in parts]
        ended = s3.complete_multipart_upload(**part, MultipartUpload={"Parts": done})
        assert ended.get("ServerSideEncryption") == asked.get("ServerSideEncryption")
        assert body(s3, bucket, "k", **needs) == whole
        for first, last in ((5 * MIB - 3, 5 * MIB + 3), (10 * MIB - 1, 10 * MIB), (9 * MIB, len(whole) - 1)):
            assert body(s3, bucket, "k", Range=f"bytes={first}-{last}", **needs) == whole[first : last + 1]
        assert body(s3, bucket, "k", PartNumber=2, **needs) == parts[1]


def test_copies_between_keys(s3, bucket, key):
    content = data(200_000)
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["Arn"]}
    kinds = {
        "plain": ({}, {}, {}),
        "store": ({"ServerSideEncryption": "AES256"}, {}, {}),
        "kms": (kms, {}, {}),
        "client": (C, C, SOURCE),
    }
    for name, (asked, _, _) in kinds.items():
        s3.put_object(Bucket=bucket, Key=name, Body=content, **asked)
    for name, (_, _, source) in kinds.items():
        for to, (asked, needs, _) in kinds.items():
            target = f"{name}-{to}"
            copy = {"CopySource": {"Bucket": bucket, "Key": name}, **source}
            reply = s3.copy_object(Bucket=bucket, Key=target, **copy, **asked)
            assert reply.get("ServerSideEncryption") == asked.get("ServerSideEncryption"), target
            assert body(s3, bucket, target, **needs) == content, target
            head = s3.head_object(Bucket=bucket, Key=target, ChecksumMode="ENABLED", **needs)
            plain_tag = head["ETag"].strip('"') == hashlib.md5(content).hexdigest()
            assert plain_tag == (to in ("plain", "store")), target
            # Parts of an upload can be copied, too.
            upload = s3.create_multipart_upload(Bucket=bucket, Key=target, **asked)["UploadId"]
            part = {"Bucket": bucket, "Key": target, "UploadId": upload}
            made = s3.upload_part_copy(**part, PartNumber=1, **copy, **needs)
            done = [{"PartNumber": 1, "ETag": made["CopyPartResult"]["ETag"]}]
            s3.complete_multipart_upload(**part, MultipartUpload={"Parts": done})
            assert body(s3, bucket, target, **needs) == content, target
    # The source of a copy may go.
    for name, (_, needs, _) in kinds.items():
        s3.delete_object(Bucket=bucket, Key=name)
        assert body(s3, bucket, f"{name}-store") == content
    refused("InvalidRequest", 400, s3.copy_object, Bucket=bucket, Key="x", CopySource={"Bucket": bucket, "Key": "store-client"})
    wrong = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": OTHER}
    refused("AccessDenied", 403, s3.copy_object, Bucket=bucket, Key="x", CopySource={"Bucket": bucket, "Key": "store-client"}, **wrong)
    # An object may be copied to itself to be encrypted otherwise.
    s3.copy_object(Bucket=bucket, Key="store-plain", CopySource={"Bucket": bucket, "Key": "store-plain"}, **kms)
    assert s3.head_object(Bucket=bucket, Key="store-plain")["SSEKMSKeyId"] == key["Arn"]
    assert body(s3, bucket, "store-plain") == content


def test_the_transfer_manager(s3, bucket, key):
    content = data(20 * MIB)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["Arn"]}
    for asked, needs, source in (({"ServerSideEncryption": "AES256"}, {}, {}), (kms, {}, {}), (C, C, SOURCE)):
        s3.upload_fileobj(io.BytesIO(content), bucket, "k", ExtraArgs=asked, Config=config)
        out = io.BytesIO()
        s3.download_fileobj(bucket, "k", out, ExtraArgs=needs, Config=config)
        assert out.getvalue() == content
        s3.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy", ExtraArgs={**asked, **source}, Config=config)
        assert body(s3, bucket, "copy", **needs) == content


def test_the_default_of_a_bucket(s3, bucket, key):
    refused("ServerSideEncryptionConfigurationNotFoundError", 404, s3.get_bucket_encryption, Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="before", Body=CANARY)

    def default(algorithm, key=None, **more):
        by_default = {"SSEAlgorithm": algorithm, **({"KMSMasterKeyID": key} if key else {})}
        rule = {"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": False, **more}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"] == [rule]

    default("AES256")
    assert s3.put_object(Bucket=bucket, Key="k", Body=CANARY)["ServerSideEncryption"] == "AES256"
    assert "ServerSideEncryption" not in s3.head_object(Bucket=bucket, Key="before")
    default("aws:kms", key["Arn"], BucketKeyEnabled=True)
    put = s3.put_object(Bucket=bucket, Key="k", Body=CANARY)
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"], put["BucketKeyEnabled"]) == ("aws:kms", key["Arn"], True)
    assert body(s3, bucket, "k") == CANARY
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")
    assert upload["SSEKMSKeyId"] == key["Arn"]
    s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload["UploadId"])
    # What a request says goes before.
    assert s3.put_object(Bucket=bucket, Key="k", Body=CANARY, ServerSideEncryption="AES256")["ServerSideEncryption"] == "AES256"
    refused("InvalidArgument", 400, default, algorithm="AES256", key=key["Arn"])
    refused("NotImplemented", 501, default, algorithm="aws:kms:dsse")
    s3.delete_bucket_encryption(Bucket=bucket)
    refused("ServerSideEncryptionConfigurationNotFoundError", 404, s3.get_bucket_encryption, Bucket=bucket)
    assert "ServerSideEncryption" not in s3.put_object(Bucket=bucket, Key="k", Body=CANARY)


def test_versions_keep_their_keys(s3, bucket, key):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["Arn"]}
    ids = [s3.put_object(Bucket=bucket, Key="k", Body=CANARY + b"%d" % n, **asked)["VersionId"]
           for n, asked in enumerate(({}, {"ServerSideEncryption": "AES256"}, kms, C))]
    for n, (version, needs) in enumerate(zip(ids, ({}, {}, {}, C))):
        assert body(s3, bucket, "k", VersionId=version, **needs) == CANARY + b"%d" % n


def test_nothing_plain_is_in_any_file(own, s3, bucket, key):
    mark = uuid.uuid4().hex.encode() * 2
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["Arn"]}
    for n, asked in enumerate(({"ServerSideEncryption": "AES256"}, kms, C)):
        for size in (1, 2000, 100_000):
            s3.put_object(Bucket=bucket, Key=f"{n}-{size}", Body=mark * size, **asked)
    keys = [OWN, base64.b64encode(OWN), OWN.hex().encode()]
    files = [p for p in own.state.rglob("*") if p.is_file()]
    assert len(files) > 5
    for path in files:
        content = path.read_bytes()
        assert not any(secret in content for secret in [mark, *keys]), path
    # All is there after a restart.
    own.stop()
    own.start()
    again = own.client("s3")
    for n, needs in enumerate(({}, {}, C)):
        assert body(again, bucket, f"{n}-2000", **needs) == mark * 2000
