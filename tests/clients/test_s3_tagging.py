"""Tags of buckets and objects, as boto3 sees them."""

import json
import uuid

import pytest

from s3_objects import make, refused, remove, upload

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture
def bucket(s3):
    name = make(s3, "tags")
    yield name
    remove(s3, name)


def tag_set(**tags):
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def tags_of(s3, bucket, key, **options):
    return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=bucket, Key=key, **options)["TagSet"]}


def test_tags_of_a_bucket(s3, bucket):
    refused("NoSuchTagSet", 404, s3.get_bucket_tagging, Bucket=bucket)
    tags = [{"Key": "cost centre", "Value": "α/7"}, {"Key": "empty", "Value": ""}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    refused("InvalidTag", 400, s3.put_bucket_tagging, Bucket=bucket, Tagging={"TagSet": [tags[0], tags[0]]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    refused("NoSuchTagSet", 404, s3.get_bucket_tagging, Bucket=bucket)


def test_a_bucket_is_made_with_its_tags(s3):
    tags = tag_set(a="1", b="")
    name = make(s3, "tagged", configuration={"Tags": tags})
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == tags
    s3.delete_bucket(Bucket=name)
    wrong = {"Tags": [{"Key": "aws:a", "Value": "1"}]}
    refused("InvalidTag", 400, make, s3=s3, kind="tagged", configuration=wrong)


def test_a_policy_says_which_tags_a_bucket_must_have(cloud):
    iam, user = cloud.client("iam"), f"tagger-{uuid.uuid4().hex[:8]}"
    tagged = {"StringEquals": {"aws:RequestTag/team": "a"}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}
    statement = {"Effect": "Allow", "Action": ["s3:CreateBucket", "s3:TagResource"], "Resource": "*", "Condition": tagged}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    s3 = cloud.client("s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    for wrong in [{}, {"Tags": tag_set(team="b")}, {"Tags": tag_set(team="a", other="1")}]:
        refused("AccessDenied", 403, make, s3=s3, kind="tagged", configuration=wrong)
    name = make(s3, "tagged", configuration={"Tags": tag_set(team="a")})
    cloud.client("s3").delete_bucket(Bucket=name)


def test_tags_of_an_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert tags_of(s3, bucket, "k") == {}
    assert "TagCount" not in s3.get_object(Bucket=bucket, Key="k")
    before = s3.head_object(Bucket=bucket, Key="k")
    tags = {"project": "blue + green", "é": "", "a=b": "c/d"}
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tag_set(**tags)})
    assert tags_of(s3, bucket, "k") == tags
    after = s3.get_object(Bucket=bucket, Key="k")
    assert after["TagCount"] == 3 and after["Body"].read() == b"x"
    # Tags are no new version of the object.
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])
    assert s3.delete_object_tagging(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags_of(s3, bucket, "k") == {}


def test_tags_that_cannot_be(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="kept=1")
    put = lambda tags: {"Bucket": bucket, "Key": "k", "Tagging": {"TagSet": tags}}
    eleven = tag_set(**{f"t{n}": "" for n in range(11)})
    assert s3.put_object_tagging(**put(eleven[:10]))["ResponseMetadata"]["HTTPStatusCode"] == 200
    s3.put_object_tagging(**put(tag_set(kept="1")))
    reply = refused("BadRequest", 400, s3.put_object_tagging, **put(eleven))
    assert reply["Error"]["Message"] == "Object tags cannot be greater than 10"
    for tag in [("k" * 129, "v"), ("k", "v" * 257), ("aws:k", "v"), ("k", "<>")]:
        refused("InvalidTag", 400, s3.put_object_tagging, **put([{"Key": tag[0], "Value": tag[1]}]))
    refused("InvalidTag", 400, s3.put_object_tagging, **put(tag_set(a="1") * 2))
    for header in ["a=1&a=2", "a=%ff"]:
        refused("InvalidArgument", 400, s3.put_object, Bucket=bucket, Key="k", Tagging=header)
    refused("BadRequest", 400, s3.put_object, Bucket=bucket, Key="k", Tagging="&".join(str(n) for n in range(11)))
    assert tags_of(s3, bucket, "k") == {"kept": "1"}
    for call in [s3.get_object_tagging, s3.delete_object_tagging]:
        refused("NoSuchKey", 404, call, Bucket=bucket, Key="none")
    refused("NoSuchKey", 404, s3.put_object_tagging, **{**put([]), "Key": "none"})
    refused("NoSuchBucket", 404, s3.get_object_tagging, Bucket="no-such-bucket-at-all", Key="k")


def test_tags_come_with_the_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1&b=x%20y+z")
    assert tags_of(s3, bucket, "k") == {"a": "1", "b": "x y z"}
    upload(s3, bucket, "parts", [(1, b"p" * 9)], Tagging="part=1")
    assert tags_of(s3, bucket, "parts") == {"part": "1"}
    # Written over: without tags.
    s3.put_object(Bucket=bucket, Key="k", Body=b"y")
    assert tags_of(s3, bucket, "k") == {}


def test_copies_take_tags_along_or_get_others(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1", Metadata={"m": "1"})
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, MetadataDirective="REPLACE")
    assert (tags_of(s3, bucket, "copy"), s3.head_object(Bucket=bucket, Key="copy")["Metadata"]) == ({"a": "1"}, {})
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="REPLACE", Tagging="b=2")
    assert (tags_of(s3, bucket, "copy"), s3.head_object(Bucket=bucket, Key="copy")["Metadata"]) == ({"b": "2"}, {"m": "1"})
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="REPLACE")
    assert tags_of(s3, bucket, "copy") == {}
    # Onto itself, where something changes.
    refused("InvalidRequest", 400, s3.copy_object, Bucket=bucket, Key="k", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, TaggingDirective="REPLACE", Tagging="c=3")
    assert tags_of(s3, bucket, "k") == {"c": "3"}
    refused("InvalidArgument", 400, s3.copy_object, Bucket=bucket, Key="z", CopySource=source, TaggingDirective="KEEP")


def test_every_version_has_tags_of_its_own(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    one = s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="n=1")["VersionId"]
    two = s3.put_object(Bucket=bucket, Key="k", Body=b"2", Tagging="n=2")["VersionId"]
    reply = s3.put_object_tagging(Bucket=bucket, Key="k", VersionId=one, Tagging={"TagSet": tag_set(old="y")})
    assert reply["VersionId"] == one
    assert tags_of(s3, bucket, "k", VersionId=one) == {"old": "y"}
    assert tags_of(s3, bucket, "k") == {"n": "2"}
    assert s3.delete_object_tagging(Bucket=bucket, Key="k")["VersionId"] == two
    assert (tags_of(s3, bucket, "k"), tags_of(s3, bucket, "k", VersionId=one)) == ({}, {"old": "y"})
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    refused("NoSuchKey", 404, s3.get_object_tagging, Bucket=bucket, Key="k")
    refused("MethodNotAllowed", 405, s3.get_object_tagging, Bucket=bucket, Key="k", VersionId=marker)
    refused("NoSuchVersion", 404, s3.get_object_tagging, Bucket=bucket, Key="k", VersionId="f" * 15 + "0" * 16 + "1")
