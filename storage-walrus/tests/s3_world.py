"""What s3_access.py and s3_lists.py share: two accounts (both with their roots' keys) and nobody, buckets and policies."""

import hashlib
import json
import sys
import uuid

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
SECRET = "walrus/test+secret"
KEYS = ("AKIAWALRUSTEST000001", "AKIAWALRUSTEST000002")
ACCOUNTS = ("111111111111", "222222222222")
CANONICAL = [hashlib.sha256(f"mallee canonical {account}".encode()).hexdigest() for account in ACCOUNTS]
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"
CLOSED = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
OPEN = dict.fromkeys(CLOSED, False)


def client(key=None):
    signed = {} if key is not None else {"signature_version": UNSIGNED}
    config = Config(retries={"max_attempts": 1, "mode": "standard"}, s3={"addressing_style": "path"}, **signed)
    return boto3.client("s3", endpoint_url=ENDPOINT, region_name="us-east-1", config=config,
                        aws_access_key_id=KEYS[key or 0], aws_secret_access_key=SECRET)


S3, OTHER, NOBODY = client(0), client(1), client()
# Lists name accounts that the store knows: those that have asked it for something.
for known in (S3, OTHER):
    known.list_buckets()


def refused(code, status, call, *args, **kwargs):
    try:
        reply = call(*args, **kwargs)
    except ClientError as error:
        got = (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
        assert got == (code, status), error.response
        return error.response
    raise AssertionError(f"not refused with {code}: {reply}")


def bucket(ownership=None, access=None, **options):
    name = f"access-{uuid.uuid4().hex[:12]}"
    if ownership:
        options["ObjectOwnership"] = ownership
    S3.create_bucket(Bucket=name, **options)
    if access is not None:
        S3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={**CLOSED, **access})
    return name


def statement(name, action, principal="*", resource="/*", effect="Allow", condition=None):
    actions, resources = ([v] if isinstance(v, str) else v for v in (action, resource))
    made = {"Effect": effect, "Principal": principal, "Action": actions,
            "Resource": [f"arn:aws:s3:::{name}{rest}" for rest in resources]}
    return {**made, "Condition": condition} if condition else made


def policy(name, *statements, **options):
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return S3.put_bucket_policy(Bucket=name, Policy=text, **options)


def account(number):
    return {"AWS": f"arn:aws:iam::{ACCOUNTS[number]}:root"}


def body(who, name, key="k", **options):
    return who.get_object(Bucket=name, Key=key, **options)["Body"].read()


def run(tests):
    """Every function named test_* runs; the first failure ends the run with a traceback and a non-zero status."""
    for name, test in list(tests.items()):
        if name.startswith("test_"):
            test()
            print(name, "ok", flush=True)
