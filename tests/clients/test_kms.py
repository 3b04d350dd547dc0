"""KMS as boto3 sees it: keys, aliases, policies, contexts, rotation, and who may what."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from test_sts import as_session

CONTEXT = {"app": "ledger", "tier": "gold"}


@pytest.fixture(scope="session")
def kms(cloud):
    return cloud.client("kms")


@pytest.fixture(scope="session")
def account(cloud):
    return cloud.client("sts").get_caller_identity()["Account"]


@pytest.fixture
def key(kms):
    made = kms.create_key(Description="of a test", Tags=[{"TagKey": "team", "TagValue": "red"}])["KeyMetadata"]
    yield made
    try:
        kms.schedule_key_deletion(KeyId=made["KeyId"], PendingWindowInDays=7)
    except ClientError:
        pass


@pytest.fixture
def user(cloud, request):
    """Makes users with inline policies; gives clients of KMS that are them."""
    iam = cloud.client("iam")
    made = []

    def make(*statements, service="kms"):
        name = f"kms-{uuid.uuid4().hex[:8]}"
        iam.create_user(UserName=name)
        if statements:
            document = {"Version": "2012-10-17", "Statement": list(statements)}
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
        keys = iam.create_access_key(UserName=name)["AccessKey"]
        made.append((name, keys["AccessKeyId"], bool(statements)))
        return cloud.client(
            service, aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"]
        )

    yield make
    for name, key, has_policy in made:
        iam.delete_access_key(UserName=name, AccessKeyId=key)
        if has_policy:
            iam.delete_user_policy(UserName=name, PolicyName="p")
        iam.delete_user(UserName=name)


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    assert caught.value.response["Error"]["Code"] == code, caught.value.response
    return caught.value.response["Error"]["Message"]


def test_a_key_and_its_names(kms, key, account):
    assert key["KeyState"] == "Enabled" and key["Enabled"] and key["KeyManager"] == "CUSTOMER"
    assert key["Arn"] == f"arn:aws:kms:{kms.meta.region_name}:{account}:key/{key['KeyId']}"
    name = f"alias/{uuid.uuid4().hex}"
    kms.create_alias(AliasName=name, TargetKeyId=key["Arn"])
    refused("AlreadyExistsException", kms.create_alias, AliasName=name, TargetKeyId=key["KeyId"])
    refused("InvalidAliasNameException", kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=key["KeyId"])
    alias_arn = f"arn:aws:kms:{kms.meta.region_name}:{account}:{name}"
    for given in (key["KeyId"], key["Arn"], name, alias_arn):
        assert kms.describe_key(KeyId=given)["KeyMetadata"]["KeyId"] == key["KeyId"], given
        sealed = kms.encrypt(KeyId=given, Plaintext=b"x")
        assert sealed["KeyId"] == key["Arn"]
    aliases = kms.list_aliases(KeyId=key["KeyId"])["Aliases"]
    assert [(a["AliasName"], a["AliasArn"], a["TargetKeyId"]) for a in aliases] == [(name, alias_arn, key["KeyId"])]
    other = kms.create_key()["KeyMetadata"]
    kms.update_alias(AliasName=name, TargetKeyId=other["KeyId"])
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == other["KeyId"]
    kms.delete_alias(AliasName=name)
    refused("NotFoundException", kms.describe_key, KeyId=name)
    refused("NotFoundException", kms.describe_key, KeyId=str(uuid.uuid4()))
    refused("NotFoundException", kms.describe_key, KeyId="nonsense")
    refused("InvalidArnException", kms.describe_key, KeyId="arn:aws:s3:::bucket")
    # These take no alias.
    refused("NotFoundException", kms.disable_key, KeyId=alias_arn)
    kms.schedule_key_deletion(KeyId=other["KeyId"], PendingWindowInDays=7)


def test_lists_have_pages(kms, key):
    for _ in range(2):
        kms.create_key()
    whole = {k["KeyId"] for page in kms.get_paginator("list_keys").paginate() for k in page["Keys"]}
    paged = [k["KeyId"] for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1}) for k in page["Keys"]]
    assert key["KeyId"] in whole and set(paged) == whole and len(paged) == len(whole)
    refused("InvalidMarkerException", kms.list_keys, Marker="!")


def test_what_is_encrypted_opens_with_its_context_only(kms, key):
    reply = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"secret", EncryptionContext=CONTEXT)
    blob = reply["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=dict(reversed(CONTEXT.items())))
    assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", key["Arn"])
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT, KeyId=key["Arn"])["Plaintext"] == b"secret"
    for context in ({}, {"app": "ledger"}, {**CONTEXT, "tier": "tin"}):
        refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=context)
    other = kms.create_key()["KeyMetadata"]
    refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=CONTEXT, KeyId=other["KeyId"])
    flipped = blob[:-1] + bytes([blob[-1] ^ 1])
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=flipped, EncryptionContext=CONTEXT)
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=b"nonsense")
    moved = kms.re_encrypt(
        CiphertextBlob=blob, SourceEncryptionContext=CONTEXT, DestinationKeyId=other["KeyId"],
        DestinationEncryptionContext={"app": "archive"},
    )
    assert (moved["SourceKeyId"], moved["KeyId"]) == (key["Arn"], other["Arn"])
    opened = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"app": "archive"})
    assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", other["Arn"])
    kms.schedule_key_deletion(KeyId=other["KeyId"], PendingWindowInDays=7)


def test_limits_and_what_is_not_offered(kms, key):
    refused("ValidationException", kms.encrypt, KeyId=key["KeyId"], Plaintext=b"x" * 4097)
    assert len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024
    refused("ValidationException", kms.generate_random, NumberOfBytes=1025)
    refused("UnsupportedOperationException", kms.create_key, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    refused("UnsupportedOperationException", kms.create_key, Origin="EXTERNAL")
    refused("UnsupportedOperationException", kms.create_key, MultiRegion=True)
    refused("UnsupportedOperation", kms.list_grants, KeyId=key["KeyId"])
    refused("InvalidGrantTokenException", kms.describe_key, KeyId=key["KeyId"], GrantTokens=["x"])
    refused("DryRunOperationException", kms.encrypt, KeyId=key["KeyId"], Plaintext=b"x", DryRun=True)


def test_data_keys(kms, key):
    for parameters, size in (({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 64}, 64)):
        made = kms.generate_data_key(KeyId=key["KeyId"], EncryptionContext=CONTEXT, **parameters)
        assert len(made["Plaintext"]) == size
        opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)
        assert opened["Plaintext"] == made["Plaintext"]
    hidden = kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], KeySpec="AES_256")
    assert "Plaintext" not in hidden
    assert len(kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"])["Plaintext"]) == 32
    refused("ValidationException", kms.generate_data_key, KeyId=key["KeyId"])


def test_states(kms, key):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key["KeyId"])
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Disabled"
    refused("DisabledException", kms.encrypt, KeyId=key["KeyId"], Plaintext=b"x")
    refused("DisabledException", kms.decrypt, CiphertextBlob=blob)
    kms.enable_key(KeyId=key["KeyId"])
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    going = kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=8)
    assert (going["KeyState"], going["PendingWindowInDays"]) == ("PendingDeletion", 8)
    refused("KMSInvalidStateException", kms.decrypt, CiphertextBlob=blob)
    refused("KMSInvalidStateException", kms.enable_key, KeyId=key["KeyId"])
    kms.cancel_key_deletion(KeyId=key["KeyId"])
    refused("DisabledException", kms.decrypt, CiphertextBlob=blob)
    kms.enable_key(KeyId=key["KeyId"])
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_rotation(kms, key):
    assert not kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=180)
    status = kms.get_key_rotation_status(KeyId=key["KeyId"])
    assert status["KeyRotationEnabled"] and status["RotationPeriodInDays"] == 180 and status["NextRotationDate"]
    before = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=key["KeyId"])
    after = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    opened = [kms.decrypt(CiphertextBlob=blob) for blob in (before, after)]
    assert [o["Plaintext"] for o in opened] == [b"x", b"x"]
    assert opened[0]["KeyMaterialId"] != opened[1]["KeyMaterialId"]
    rotations = kms.list_key_rotations(KeyId=key["KeyId"])["Rotations"]
    assert [r["RotationType"] for r in rotations] == ["ON_DEMAND"]
    kms.disable_key_rotation(KeyId=key["KeyId"])
    assert not kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]


def test_tags_and_description(kms, key):
    kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "team", "TagValue": "blue"}, {"TagKey": "x", "TagValue": ""}])
    tags = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
    assert [(t["TagKey"], t["TagValue"]) for t in tags] == [("team", "blue"), ("x", "")]
    kms.untag_resource(KeyId=key["KeyId"], TagKeys=["x"])
    assert len(kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]) == 1
    refused("TagException", kms.tag_resource, KeyId=key["KeyId"], Tags=[{"TagKey": "aws:x", "TagValue": ""}])
    kms.update_key_description(KeyId=key["KeyId"], Description="another")
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == "another"


def test_policies_of_users_count_where_the_key_says_so(kms, key, user):
    plain = user()
    refused("AccessDeniedException", plain.describe_key, KeyId=key["KeyId"])
    allow = {"Effect": "Allow", "Action": ["kms:Encrypt", "kms:DescribeKey"], "Resource": key["Arn"]}
    ann = user(allow)
    blob = ann.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    text = refused("AccessDeniedException", ann.decrypt, CiphertextBlob=blob)
    assert "kms:Decrypt" in text and "because no identity-based policy allows" in text
    gold = {
        "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*",
        "Condition": {"StringEquals": {"kms:EncryptionContext:tier": "gold"}},
    }
    bob = user(gold)
    golden = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=CONTEXT)["CiphertextBlob"]
    assert bob.decrypt(CiphertextBlob=golden, EncryptionContext=CONTEXT)["Plaintext"] == b"x"
    refused("AccessDeniedException", bob.decrypt, CiphertextBlob=blob)
    red = {
        "Effect": "Allow", "Action": "kms:*", "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/team": "red"}},
    }
    cat = user(red)
    assert cat.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "team", "TagValue": "blue"}])
    refused("AccessDeniedException", cat.decrypt, CiphertextBlob=blob)


def test_the_policy_of_a_key(kms, key, account, user, cloud):
    assert kms.list_key_policies(KeyId=key["KeyId"])["PolicyNames"] == ["default"]
    document = json.loads(kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"])
    assert document["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{account}:root"}
    ann = user()
    arn = as_user_arn(ann, cloud)
    document["Statement"].append(
        {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*"}
    )
    kms.put_key_policy(KeyId=key["KeyId"], Policy=json.dumps(document))
    # Whom the key's policy names needs no other right.
    blob = ann.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert ann.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    refused("AccessDeniedException", ann.disable_key, KeyId=key["KeyId"])
    refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=key["KeyId"], Policy="{}")
    alone = {"Version": "2012-10-17", "Statement": document["Statement"][1:]}
    refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=key["KeyId"], Policy=json.dumps(alone))
    refused("NotFoundException", kms.get_key_policy, KeyId=key["KeyId"], PolicyName="another")


def as_user_arn(client, cloud):
    keys = client._request_signer._credentials
    sts = cloud.client("sts", aws_access_key_id=keys.access_key, aws_secret_access_key=keys.secret_key)
    return sts.get_caller_identity()["Arn"]


def test_a_session_has_what_its_policy_leaves(cloud, kms, key):
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"}]}
    made = cloud.client("sts").get_federation_token(Name="narrow", Policy=json.dumps(policy))["Credentials"]
    narrow = as_session(cloud, "kms", made)
    blob = narrow.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    refused("AccessDeniedException", narrow.decrypt, CiphertextBlob=blob)


def test_calls_are_recorded_without_secrets(cloud, kms, key):
    canary = b"canary-in-a-plaintext"
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=canary, EncryptionContext={"app": "seen"})["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=blob, EncryptionContext={"app": "seen"})
    import base64
    import time

    hidden = [canary, base64.b64encode(canary)]
    trail = cloud.client("cloudtrail")
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        attribute = [{"AttributeKey": "EventSource", "AttributeValue": "kms.amazonaws.com"}]
        events = trail.lookup_events(LookupAttributes=attribute)["Events"]
        seen = {e["EventName"] for e in events if '"seen"' in e["CloudTrailEvent"]}
        if {"Encrypt", "Decrypt"} <= seen:
            break
        time.sleep(0.2)
    names = {e["EventName"] for e in events}
    assert {"Encrypt", "Decrypt", "CreateKey"} <= names, names
    assert {"Encrypt", "Decrypt"} <= seen
    for path in cloud.state.rglob("*"):
        if path.is_file() and path.name != "mallee":
            data = path.read_bytes()
            assert not any(h in data for h in hidden), path
