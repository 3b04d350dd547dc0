"""Who may use what is whose by policies, with boto3 against a Walrus: s3_access.py ENDPOINT SCRATCH_DIRECTORY

Access by lists is in s3_lists.py.
"""
import datetime
import json
import urllib.error
import urllib.request

import boto3
from botocore.config import Config

from s3_world import (
    ACCOUNTS, CANONICAL, CLOSED, ENDPOINT, KEYS, NOBODY, OPEN, OTHER, S3, SECRET, account, body, bucket, policy, refused,
    run, statement,
)


def test_new_buckets_are_closed():
    name = bucket()
    assert S3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"] == CLOSED
    rules = S3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    S3.delete_public_access_block(Bucket=name)
    refused("NoSuchPublicAccessBlockConfiguration", 404, S3.get_public_access_block, Bucket=name)
    S3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    assert S3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"] == {**OPEN, "IgnorePublicAcls": True}
    S3.delete_bucket_ownership_controls(Bucket=name)
    refused("OwnershipControlsNotFoundError", 404, S3.get_bucket_ownership_controls, Bucket=name)
    for rule in ("ObjectWriter", "BucketOwnerPreferred", "BucketOwnerEnforced"):
        S3.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": rule}]})
        assert S3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": rule}]


def test_a_bucket_that_is_not_there_is_said_so_first():
    for who in (S3, OTHER, NOBODY):
        refused("NoSuchBucket", 404, who.get_object, Bucket="access-absent", Key="k")
        refused("NoSuchBucket", 404, who.list_objects_v2, Bucket="access-absent")
        refused("NoSuchBucket", 404, who.put_object, Bucket="access-absent", Key="k", Body=b"")
    name = bucket()
    refused("AccessDenied", 403, S3.list_objects_v2, Bucket=name, ExpectedBucketOwner=ACCOUNTS[1])


def test_nobody_and_others_are_kept_out():
    name = bucket()
    S3.put_object(Bucket=name, Key="k", Body=b"secret")
    for who in (OTHER, NOBODY):
        refused("AccessDenied", 403, who.get_object, Bucket=name, Key="k")
        refused("AccessDenied", 403, who.get_object, Bucket=name, Key="absent")
        refused("AccessDenied", 403, who.list_objects_v2, Bucket=name)
        refused("AccessDenied", 403, who.put_object, Bucket=name, Key="k", Body=b"other")
        refused("AccessDenied", 403, who.delete_object, Bucket=name, Key="k")
        refused("AccessDenied", 403, who.delete_bucket, Bucket=name)
        refused("AccessDenied", 403, who.get_bucket_policy, Bucket=name)
        refused("AccessDenied", 403, who.put_bucket_policy, Bucket=name, Policy="{}")
        refused("AccessDenied", 403, who.create_multipart_upload, Bucket=name, Key="k")
        refused("AccessDenied", 403, who.put_public_access_block, Bucket=name, PublicAccessBlockConfiguration=OPEN)
        refused("403", 403, who.head_object, Bucket=name, Key="k")
        refused("403", 403, who.head_bucket, Bucket=name)
    refused("AccessDenied", 403, NOBODY.create_bucket, Bucket=f"{name}-2")
    refused("AccessDenied", 403, NOBODY.list_buckets)
    assert body(S3, name) == b"secret"


def test_a_policy_for_another_account():
    name = bucket()
    S3.put_object(Bucket=name, Key="k", Body=b"shared")
    S3.put_object(Bucket=name, Key="private", Body=b"secret")
    policy(name, statement(name, "s3:GetObject", account(1), "/k"), statement(name, ["s3:PutObject", "s3:PutObjectAcl"], account(1), "/in/*"))
    assert body(OTHER, name) == b"shared"
    refused("AccessDenied", 403, OTHER.get_object, Bucket=name, Key="private")
    refused("AccessDenied", 403, NOBODY.get_object, Bucket=name, Key="k")
    # What is not there is not told to who may not list.
    refused("AccessDenied", 403, OTHER.get_object, Bucket=name, Key="in/absent")
    OTHER.put_object(Bucket=name, Key="in/x", Body=b"theirs", ACL="bucket-owner-full-control")
    assert body(S3, name, "in/x") == b"theirs"
    # Copies need both ends: the source's bucket lets in its reader, the target's its writer.
    S3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    OTHER.copy_object(Bucket=name, Key="in/copy", CopySource={"Bucket": name, "Key": "k"})
    refused("AccessDenied", 403, OTHER.copy_object, Bucket=name, Key="in/copy", CopySource={"Bucket": name, "Key": "private"})
    mine = f"{name}-other"
    OTHER.create_bucket(Bucket=mine)
    OTHER.copy_object(Bucket=mine, Key="k", CopySource={"Bucket": name, "Key": "k"})
    assert body(OTHER, mine) == b"shared"
    refused("AccessDenied", 403, OTHER.copy_object, Bucket=mine, Key="k", CopySource={"Bucket": name, "Key": "private"})
    refused("AccessDenied", 403, S3.copy_object, Bucket=mine, Key="k", CopySource={"Bucket": name, "Key": "k"})
    # Its policy is the account's own affair, whatever it allows.
    policy(name, statement(name, ["s3:GetBucketPolicy", "s3:PutBucketPolicy"], account(1), ""))
    refused("MethodNotAllowed", 405, OTHER.get_bucket_policy, Bucket=name)
    refused("MethodNotAllowed", 405, OTHER.put_bucket_policy, Bucket=name, Policy="{}")
    policy(name, statement(name, "s3:ListBucket", account(1), ""))
    refused("AccessDenied", 403, OTHER.get_object, Bucket=name, Key="k")
    assert [o["Key"] for o in OTHER.list_objects_v2(Bucket=name)["Contents"]] == ["in/copy", "in/x", "k", "private"]
    S3.delete_bucket_policy(Bucket=name)
    refused("AccessDenied", 403, OTHER.list_objects_v2, Bucket=name)


def test_a_public_policy():
    name = bucket(access={"BlockPublicPolicy": False, "RestrictPublicBuckets": False})
    S3.put_object(Bucket=name, Key="k", Body=b"for all")
    policy(name, statement(name, "s3:GetObject"), statement(name, "s3:PutObject", resource="/drop/*"))
    assert S3.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"] is True
    for who in (S3, OTHER, NOBODY):
        assert body(who, name) == b"for all"
        who.put_object(Bucket=name, Key="drop/x", Body=b"dropped")
    with urllib.request.urlopen(f"{ENDPOINT}/{name}/k", timeout=10) as answer:
        assert answer.read() == b"for all"
    refused("AccessDenied", 403, NOBODY.get_object, Bucket=name, Key="absent")
    refused("AccessDenied", 403, NOBODY.list_objects_v2, Bucket=name)
    refused("AccessDenied", 403, NOBODY.delete_object, Bucket=name, Key="k")
    # What everybody writes belongs to the bucket's owner.
    owners = {o["Owner"]["ID"] for o in S3.list_objects_v2(Bucket=name, FetchOwner=True)["Contents"]}
    assert owners == {CANONICAL[0]}
    policy(name, statement(name, ["s3:GetObject"]), statement(name, "s3:ListBucket", resource=""))
    refused("NoSuchKey", 404, NOBODY.get_object, Bucket=name, Key="absent")
    assert [o["Key"] for o in NOBODY.list_objects_v2(Bucket=name)["Contents"]] == ["drop/x", "k"]


def test_public_access_is_blocked():
    name = bucket()
    S3.put_object(Bucket=name, Key="k", Body=b"x")
    everybody, one = statement(name, "s3:GetObject"), statement(name, "s3:GetObject", account(1))
    told = refused("AccessDenied", 403, S3.put_bucket_policy, Bucket=name,
                   Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
    assert "BlockPublicPolicy" in told["Error"]["Message"], told
    refused("NoSuchBucketPolicy", 404, S3.get_bucket_policy, Bucket=name)
    policy(name, statement(name, "s3:GetObject", condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}))
    assert S3.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"] is False
    assert body(NOBODY, name) == b"x"
    # A public policy that is there is cut down to the account when that is asked for.
    S3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=OPEN)
    policy(name, everybody, one)
    assert body(NOBODY, name) == body(OTHER, name) == b"x"
    S3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={**OPEN, "RestrictPublicBuckets": True})
    refused("AccessDenied", 403, NOBODY.get_object, Bucket=name, Key="k")
    refused("AccessDenied", 403, OTHER.get_object, Bucket=name, Key="k")
    assert body(S3, name) == b"x"
    policy(name, one)
    assert body(OTHER, name) == b"x"


def test_conditions():
    name = bucket(access=OPEN)
    for key in ("home/a", "home/b", "other"):
        S3.put_object(Bucket=name, Key=key, Body=b"x")
    list_home = statement(name, "s3:ListBucket", account(1), "", condition={"StringEquals": {"s3:prefix": "home/"},
                                                                            "NumericLessThanEquals": {"s3:max-keys": "10"}})
    policy(name, list_home)
    assert len(OTHER.list_objects_v2(Bucket=name, Prefix="home/", MaxKeys=10)["Contents"]) == 2
    for options in ({}, {"Prefix": "home/"}, {"Prefix": "other", "MaxKeys": 1}, {"Prefix": "home/", "MaxKeys": 11}):
        refused("AccessDenied", 403, OTHER.list_objects_v2, Bucket=name, **options)
    policy(name, statement(name, "s3:PutObject", account(1), condition={
        "StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}))
    policy(name, statement(name, ["s3:PutObject", "s3:PutObjectAcl"], account(1), condition={
        "StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}))
    refused("AccessDenied", 403, OTHER.put_object, Bucket=name, Key="k", Body=b"")
    OTHER.put_object(Bucket=name, Key="k", Body=b"", ACL="bucket-owner-full-control")
    policy(name, statement(name, ["s3:PutObject"], account(1), "/to/*",
                           condition={"StringLike": {"s3:x-amz-copy-source": f"{name}/home/*"}}),
           statement(name, "s3:GetObject", account(1)))
    for source in (f"/{name}/home/a", {"Bucket": name, "Key": "home/b"}):
        OTHER.copy_object(Bucket=name, Key="to/x", CopySource=source)
    refused("AccessDenied", 403, OTHER.copy_object, Bucket=name, Key="to/x", CopySource={"Bucket": name, "Key": "other"})
    refused("AccessDenied", 403, OTHER.put_object, Bucket=name, Key="to/x", Body=b"")
    # Even its owner's root is bound by a denial, but for the policy itself.
    policy(name, statement(name, "s3:*", resource=["", "/*"], effect="Deny",
                           condition={"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}))
    refused("AccessDenied", 403, S3.get_object, Bucket=name, Key="k")
    refused("AccessDenied", 403, S3.list_objects_v2, Bucket=name)
    assert json.loads(S3.get_bucket_policy(Bucket=name)["Policy"])["Statement"][0]["Effect"] == "Deny"
    S3.delete_bucket_policy(Bucket=name)
    S3.get_object(Bucket=name, Key="k")


def test_who_asks_when_and_how():
    """The keys that say how a request is signed, when it came, and whose the bucket is: here as in the cloud."""
    name = bucket(access=OPEN)
    S3.put_object(Bucket=name, Key="k", Body=b"x")

    def only(condition):
        policy(name, statement(name, "s3:GetObject", account(1)),
               statement(name, "s3:GetObject", effect="Deny", condition=condition))

    signer = boto3.client("s3", endpoint_url=ENDPOINT, region_name="us-east-1", aws_access_key_id=KEYS[1],
                          aws_secret_access_key=SECRET, config=Config(signature_version="s3v4"))
    url = signer.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "k"})
    for condition, header, presigned in (
        ({"StringNotEquals": {"s3:authType": "REST-HEADER"}}, True, False),
        ({"StringNotEquals": {"s3:authType": "REST-QUERY-STRING"}}, False, True),
        ({"StringNotEquals": {"s3:signatureversion": "AWS4-HMAC-SHA256"}}, True, True),
        ({"NumericGreaterThan": {"s3:signatureAge": "600000"}}, True, True),
        ({"NumericLessThan": {"s3:signatureAge": "600000"}}, False, False),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False, False),
        ({"StringEquals": {"s3:ResourceAccount": ACCOUNTS[0]}}, False, False),
        ({"StringEquals": {"aws:ResourceAccount": ACCOUNTS[1]}}, True, True),
    ):
        only(condition)
        if header:
            assert body(OTHER, name) == b"x", condition
        else:
            refused("AccessDenied", 403, OTHER.get_object, Bucket=name, Key="k")
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert answer.read() == b"x" and presigned, condition
        except urllib.error.HTTPError as error:
            assert error.code == 403 and not presigned, condition
    policy(name, statement(name, "s3:GetObject", condition={"StringLike": {"aws:Referer": "https://example.org/*"}}))
    for referer, status in (("https://example.org/x", 200), ("https://example.com/x", 403)):
        asked = urllib.request.Request(f"{ENDPOINT}/{name}/k", headers={"Referer": referer})
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                assert answer.status == status
        except urllib.error.HTTPError as error:
            assert error.code == status


def deny(name, action, condition, resource="/*"):
    """Everything for the other account but this."""
    policy(name, statement(name, "s3:*", account(1), ["", "/*"]),
           statement(name, action, resource=resource, effect="Deny", condition=condition))


def test_locks_are_as_policies_allow():
    name = bucket(ObjectLockEnabledForBucket=True)
    S3.put_object(Bucket=name, Key="k", Body=b"x")
    now = datetime.datetime.now(datetime.timezone.utc)
    at = lambda days, minutes: now + datetime.timedelta(days=days, minutes=minutes)

    def retain(mode, until):
        OTHER.put_object_retention(Bucket=name, Key="k", Retention={"Mode": mode, "RetainUntilDate": until})

    def write(mode, until):
        OTHER.put_object(Bucket=name, Key="new", Body=b"x", ObjectLockMode=mode, ObjectLockRetainUntilDate=until)

    deny(name, "s3:PutObjectRetention", {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "10"}})
    for put in (retain, write):
        refused("AccessDenied", 403, put, "GOVERNANCE", at(10, 5))
        put("GOVERNANCE", at(10, -5))
    deny(name, "s3:PutObjectRetention", {"StringEquals": {"s3:object-lock-mode": "COMPLIANCE"}})
    for put in (retain, write):
        refused("AccessDenied", 403, put, "COMPLIANCE", at(11, 0))
        put("GOVERNANCE", at(11, 0))
    deny(name, "s3:PutObjectLegalHold", {"StringEquals": {"s3:object-lock-legal-hold": "OFF"}})
    OTHER.put_object_legal_hold(Bucket=name, Key="k", LegalHold={"Status": "ON"})
    refused("AccessDenied", 403, OTHER.put_object_legal_hold, Bucket=name, Key="k", LegalHold={"Status": "OFF"})
    # What is told of the lock takes the right to read it.
    deny(name, ["s3:GetObjectRetention"], None)
    told = OTHER.head_object(Bucket=name, Key="k")
    assert "ObjectLockMode" not in told and told["ObjectLockLegalHoldStatus"] == "ON", told
    S3.delete_bucket_policy(Bucket=name)
    assert S3.head_object(Bucket=name, Key="k")["ObjectLockMode"] == "GOVERNANCE"


def test_writes_have_to_be_conditional():
    """AWS's policy that makes every write of an object a conditional one."""
    name = bucket()
    S3.put_object(Bucket=name, Key="old", Body=b"x" * 5)
    deny(name, "s3:PutObject", {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}})
    refused("AccessDenied", 403, OTHER.put_object, Bucket=name, Key="k", Body=b"x")
    refused("AccessDenied", 403, OTHER.copy_object, Bucket=name, Key="k", CopySource={"Bucket": name, "Key": "old"})
    OTHER.put_object(Bucket=name, Key="k", Body=b"x", IfNoneMatch="*")
    upload = {"Bucket": name, "Key": "parts"}
    upload["UploadId"] = OTHER.create_multipart_upload(**upload)["UploadId"]
    OTHER.upload_part(**upload, PartNumber=1, Body=b"x")
    part = OTHER.upload_part_copy(**upload, PartNumber=1, CopySource={"Bucket": name, "Key": "old"})["CopyPartResult"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    refused("AccessDenied", 403, OTHER.complete_multipart_upload, **upload, MultipartUpload=parts)
    OTHER.complete_multipart_upload(**upload, MultipartUpload=parts, IfNoneMatch="*")


def test_each_object_of_a_batch_has_its_own_condition():
    name = bucket()
    etag = S3.put_object(Bucket=name, Key="k", Body=b"x")["ETag"]

    def batch(**condition):
        reply = OTHER.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k", **condition}]})
        return [error["Code"] for error in reply.get("Errors", [])]

    deny(name, "s3:GetObject", None)
    for condition in ({"ETag": "e"}, {"ETag": etag}, {"Size": 1}):
        assert batch(**condition) == ["AccessDenied"], condition
    refused("AccessDenied", 403, OTHER.delete_object, Bucket=name, Key="k", IfMatch=etag)
    deny(name, "s3:DeleteObject", {"Null": {"s3:if-match": "true"}})
    assert batch() == ["AccessDenied"]
    assert batch(ETag="e") == ["PreconditionFailed"]
    refused("AccessDenied", 403, OTHER.delete_object, Bucket=name, Key="k")
    assert batch(ETag=etag) == []


def test_tags_are_copied_by_whoever_may_tag():
    name = bucket()
    S3.put_object(Bucket=name, Key="plain", Body=b"x")
    S3.put_object(Bucket=name, Key="tagged", Body=b"x", Tagging="secret=yes")

    def copy(key, **options):
        OTHER.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": key}, **options)

    for action in ("s3:GetObjectTagging", "s3:PutObjectTagging"):
        deny(name, action, None)
        copy("plain")
        refused("AccessDenied", 403, copy, "tagged")
        refused("AccessDenied", 403, copy, "tagged", MetadataDirective="REPLACE")
        copy("tagged", TaggingDirective="REPLACE")
    for action in ("s3:PutObject", "s3:PutObjectTagging"):
        deny(name, action, {"StringEquals": {"s3:RequestObjectTag/secret": "yes"}})
        refused("AccessDenied", 403, copy, "tagged")
        refused("AccessDenied", 403, copy, "tagged", Tagging="secret=no")
        copy("tagged", TaggingDirective="REPLACE", Tagging="secret=no")


def test_tags_have_case():
    name = bucket()
    one, other = [("Secret", "yes"), ("secret", "no")], [("secret", "yes"), ("Secret", "no")]

    def write(tags):
        OTHER.put_object(Bucket=name, Key="k", Body=b"x", Tagging="&".join(f"{k}={v}" for k, v in tags))

    def tag(tags):
        OTHER.put_object_tagging(Bucket=name, Key="k", Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in tags]})

    S3.put_object(Bucket=name, Key="k", Body=b"x")
    deny(name, "s3:PutObjectTagging", {"StringEquals": {"s3:RequestObjectTag/Secret": "yes"}})
    for put in (write, tag):
        for tags in (one, one[::-1]):
            refused("AccessDenied", 403, put, tags)
        for tags in (other, other[::-1]):
            put(tags)
    deny(name, "s3:GetObject", {"StringEquals": {"s3:ExistingObjectTag/Secret": "yes"}})
    assert body(OTHER, name) == b"x"
    S3.put_object_tagging(Bucket=name, Key="k", Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in one]})
    refused("AccessDenied", 403, OTHER.get_object, Bucket=name, Key="k")


def test_nobody_overrides_headers():
    name = bucket(access=OPEN)
    S3.put_object(Bucket=name, Key="k", Body=b"x", Tagging="a=b")
    policy(name, statement(name, "s3:GetObject"))
    assert "TagCount" not in NOBODY.get_object(Bucket=name, Key="k"), "that takes another right"
    assert S3.get_object(Bucket=name, Key="k")["TagCount"] == 1
    refused("InvalidRequest", 400, NOBODY.get_object, Bucket=name, Key="k", ResponseContentType="text/html")
    assert OTHER.get_object(Bucket=name, Key="k", ResponseContentType="text/html")["ContentType"] == "text/html"


def test_owners_are_enforced_over_no_list_that_grants():
    name = bucket("ObjectWriter", OPEN)
    enforce = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    S3.put_bucket_acl(Bucket=name, ACL="public-read")
    refused("InvalidBucketAclWithObjectOwnership", 400, S3.put_bucket_ownership_controls, Bucket=name,
            OwnershipControls=enforce)
    S3.put_bucket_acl(Bucket=name, ACL="private")
    S3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=enforce)


def test_what_is_no_policy():
    name = bucket()

    def malformed(document, text):
        document = document if isinstance(document, str) else json.dumps(document)
        told = refused("MalformedPolicy", 400, S3.put_bucket_policy, Bucket=name, Policy=document)
        assert told["Error"]["Message"] == text, told

    one = lambda **fields: {"Version": "2012-10-17", "Statement": [{**statement(name, "s3:GetObject", account(1)), **fields}]}
    malformed("x", "Policies must be valid JSON and the first byte must be '{'")
    malformed("{", "This policy contains invalid Json")
    malformed(one(Resource="arn:aws:s3:::another/*"), "Policy has invalid resource")
    malformed(one(Action="s3:NoSuchAction"), "Policy has invalid action")
    malformed(one(Action="s3:ListBucket"), "Action does not apply to any resource(s) in statement")
    malformed(one(Principal={"AWS": "arn:aws:iam::999999999999:root"}), "Invalid principal in policy")
    malformed(one(Principal={"AWS": "somebody"}), "Invalid principal in policy")
    # Nothing here tells: a denial by it would be none.
    malformed(one(Condition={"NumericLessThan": {"s3:TlsVersion": "1.2"}}), "Policy has an invalid condition key")
    malformed(one(Sid="x" * 20_480), "Policy exceeds the maximum allowed document size.")
    text = json.dumps(one(), indent=3)
    S3.put_bucket_policy(Bucket=name, Policy=text)
    assert S3.get_bucket_policy(Bucket=name)["Policy"] == text


def test_keys_of_a_batch_are_each_decided():
    name = bucket()
    for key in ("a", "b", "c"):
        S3.put_object(Bucket=name, Key=key, Body=b"x")
    policy(name, statement(name, "s3:DeleteObject", account(1), ["/a", "/c"]))
    reply = OTHER.delete_objects(Bucket=name, Delete={"Objects": [{"Key": key} for key in ("a", "b", "c", "absent")]})
    assert [d["Key"] for d in reply["Deleted"]] == ["a", "c"], reply
    assert [(e["Key"], e["Code"]) for e in reply["Errors"]] == [("b", "AccessDenied"), ("absent", "AccessDenied")], reply
    assert [o["Key"] for o in S3.list_objects_v2(Bucket=name)["Contents"]] == ["b"]


run(globals())
