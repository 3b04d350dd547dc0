"""Buckets whose requesters pay: others must say that they know it, and are told that they were charged."""

import json

import pytest
import requests

from s3_jobs import bucket, make, refused, s3, store  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def other(store):
    return store.other()


@pytest.fixture
def paid(s3, bucket, other):
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept")
    s3.delete_public_access_block(Bucket=bucket)
    arn = f"arn:aws:s3:::{bucket}"
    statements = [
        {"Effect": "Allow", "Principal": {"AWS": other[1]}, "Action": "s3:*", "Resource": [arn, f"{arn}/*"]},
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{arn}/*"},
    ]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    pays(s3, bucket, "Requester")
    return bucket


def pays(s3, bucket, payer):
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": payer})


def charged(reply):
    return reply["ResponseMetadata"]["HTTPHeaders"].get("x-amz-request-charged")


def test_it_is_read_back(s3, bucket):
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    for payer in ("Requester", "BucketOwner"):
        pays(s3, bucket, payer)
        assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == payer
    refused("MalformedXML", 400, s3.put_bucket_request_payment, Bucket=bucket, RequestPaymentConfiguration={"Payer": "Nobody"})


def test_others_must_say_that_they_pay(store, s3, paid, other):
    theirs, _ = other
    for call, parameters in [
        (theirs.get_object, {"Key": "k"}),
        (theirs.put_object, {"Key": "n", "Body": b"x"}),
        (theirs.list_objects_v2, {}),
        (theirs.delete_objects, {"Delete": {"Objects": [{"Key": "n"}]}}),
    ]:
        refused("AccessDenied", 403, call, Bucket=paid, **parameters)
        assert charged(call(Bucket=paid, RequestPayer="requester", **parameters)) == "requester"
    with pytest.raises(theirs.exceptions.ClientError) as caught:
        theirs.head_object(Bucket=paid, Key="k")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    reply = theirs.head_object(Bucket=paid, Key="k", RequestPayer="requester")
    assert reply["RequestCharged"] == "requester"
    # Its owner pays anyway, and is told nothing; nobody cannot pay.
    assert charged(s3.get_object(Bucket=paid, Key="k")) is None
    assert charged(s3.get_object(Bucket=paid, Key="k", RequestPayer="requester")) is None
    refused("AccessDenied", 403, store.nobody().get_object, Bucket=paid, Key="k")
    refused("AccessDenied", 403, store.nobody().get_object, Bucket=paid, Key="k", RequestPayer="requester")
    pays(s3, paid, "BucketOwner")
    assert charged(theirs.get_object(Bucket=paid, Key="k")) is None
    assert store.nobody().get_object(Bucket=paid, Key="k")["Body"].read() == b"kept"


def test_presigned_requests_and_copies(paid, other):
    theirs, _ = other
    for said, status in [({}, 403), ({"RequestPayer": "requester"}, 200)]:
        url = theirs.generate_presigned_url("get_object", Params={"Bucket": paid, "Key": "k", **said})
        sent = {"x-amz-request-payer": "requester"} if "x-amz-request-payer" in url else {}
        assert requests.get(url, headers=sent, timeout=10).status_code == status, url
    own = make(theirs)
    source = {"Bucket": paid, "Key": "k"}
    refused("AccessDenied", 403, theirs.copy_object, Bucket=own, Key="c", CopySource=source)
    reply = theirs.copy_object(Bucket=own, Key="c", CopySource=source, RequestPayer="requester")
    assert charged(reply) == "requester"
