"""Secrets planted through every operation that takes or makes one: none may show in a log of any tier (at the most
talkative level), in the audit trail, or in the reply to an error."""

import base64
import binascii
import hashlib
import json
import re
import sqlite3
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from support import wait
from tiers import TIERS, Tiers, eventually, with_session

# As they leave the test: what botocore would refuse is refused by the cloud.
UNCHECKED = Config(parameter_validation=False, retries={"max_attempts": 1, "mode": "standard"})
V2 = Config(signature_version="s3", s3={"addressing_style": "path"}, retries={"max_attempts": 1, "mode": "standard"})
QUERY_V2 = Config(signature_version="v2", retries={"max_attempts": 1, "mode": "standard"})
ALL = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
TRUST = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"AWS": "*", "Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
}
TOKEN_LETTERS = 64
SIGNATURE = re.compile(r"Signature=([0-9a-f]{64})")


class Planted:
    """The secrets, and what they are."""

    def __init__(self, tiers):
        self.tiers, self.secrets, self.replies = tiers, {}, []

    def new(self, what, form="{}"):
        return self.add(what, form.format(f"Canary{uuid.uuid4().hex}"))

    def add(self, what, secret):
        assert len(secret) >= 16, what
        self.secrets[secret] = what
        return secret

    def session(self, what, credentials):
        for name in ("SecretAccessKey", "SessionToken"):
            self.add(f"{what}'s {name}", credentials[name])
        return with_session(credentials)

    def client(self, service, **options):
        client = self.tiers.client(service, **options)

        # A signature can be sent again for a while by whoever reads it.
        def signed(request, **_):
            header = request.headers.get("Authorization", "")
            header = header.decode() if isinstance(header, bytes) else header
            for signature in SIGNATURE.findall(header):
                self.add(f"the signature of {request.url}", signature)

        client.meta.events.register("before-send.*.*", signed)
        return client

    def fails(self, call, **parameters):
        with pytest.raises(ClientError) as error:
            call(**parameters)
        self.replies.append(json.dumps(error.value.response, default=str))

    def fetch(self, url, method="GET", data=None, headers=None):
        try:
            request = urllib.request.Request(url, method=method, data=data, headers=headers or {})
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.read()
        except urllib.error.HTTPError as error:
            self.replies.append(error.read().decode())
            return None


def forms(secret):
    """How it may be written: as it is, escaped, in hex, and in base64 at any place of a longer text."""
    raw = secret.encode()
    yield raw
    yield json.dumps(secret)[1:-1].encode()
    yield urllib.parse.quote(secret, safe="").encode()
    yield binascii.hexlify(raw)
    for before, dropped in ((0, 0), (1, 2), (2, 3)):
        text = base64.b64encode(b"x" * before + raw).rstrip(b"=")[dropped:-2]
        yield text
        yield text.replace(b"+", b"-").replace(b"/", b"_")


@pytest.fixture(scope="module")
def tiers():
    tiers = Tiers("--allow-sigv2", log="trace")
    yield tiers
    tiers.close()


@pytest.fixture(scope="module")
def planted(tiers):
    return Planted(tiers)


def identities(planted):
    iam, unchecked = planted.client("iam"), planted.client("iam", config=UNCHECKED)
    iam.create_user(UserName="bird")
    iam.put_user_policy(UserName="bird", PolicyName="all", PolicyDocument=json.dumps(ALL))
    first, second, third = (planted.new("a password", "aA1!{}") for _ in range(3))
    iam.create_login_profile(UserName="bird", Password=first)
    iam.update_login_profile(UserName="bird", Password=second)
    planted.fails(unchecked.update_login_profile, UserName="bird", Password=planted.new("a long password", "{}" + "x" * 200))
    planted.fails(unchecked.create_login_profile, UserName="bird", Password=planted.new("a second password"))
    planted.fails(unchecked.create_login_profile, UserName="none", Password=planted.new("a password of nobody"))
    planted.fails(unchecked.create_login_profile, UserName="bird", Password=planted.new("odd", "\u20ac{}"))
    key = iam.create_access_key(UserName="bird")["AccessKey"]
    planted.add("a secret key", key["SecretAccessKey"])
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    own = planted.client("iam", **keys)
    own.change_password(OldPassword=second, NewPassword=third)
    planted.fails(own.change_password, OldPassword=planted.new("a wrong password"), NewPassword=planted.new("a new one"))
    iam.update_account_password_policy(MinimumPasswordLength=100)
    planted.fails(own.change_password, OldPassword=third, NewPassword=planted.new("a weak password"))
    iam.delete_account_password_policy()
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="bird")["VirtualMFADevice"]
    seed = planted.add("a seed of MFA", bytes(device["Base32StringSeed"]).decode())
    planted.fails(
        unchecked.enable_mfa_device,
        UserName="bird",
        SerialNumber=device["SerialNumber"],
        AuthenticationCode1=seed,
        AuthenticationCode2=planted.new("a code"),
    )
    certificates(planted, iam)
    wrong = planted.new("a wrong secret key")
    planted.fails(planted.client("iam", **{**keys, "aws_secret_access_key": wrong}).list_users)
    return keys


def certificates(planted, iam):
    made = planted.tiers.root / "made"
    made.mkdir()
    key, certificate = made / "key.pem", made / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bird.example", "-days", "9"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    for line in key.read_text().splitlines()[1:-2]:
        planted.add("a private key", line)
    body = certificate.read_text()
    iam.upload_server_certificate(ServerCertificateName="bird", CertificateBody=body, PrivateKey=key.read_text())
    pem = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n"
    for form in (pem, "{}"):
        bad = planted.new("a bad private key", form)
        planted.secrets[re.search("Canary[0-9a-f]+", bad)[0]] = "the inside of a bad private key"
        planted.fails(iam.upload_server_certificate, ServerCertificateName="bad", CertificateBody=body, PrivateKey=bad)
    planted.fails(
        iam.upload_server_certificate, ServerCertificateName="bird", CertificateBody=body, PrivateKey=key.read_text()
    )


def sessions(planted, keys):
    sts, unchecked = planted.client("sts", **keys), planted.client("sts", config=UNCHECKED, **keys)
    iam = planted.client("iam")
    role = iam.create_role(RoleName="nest", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName="nest", PolicyName="all", PolicyDocument=json.dumps(ALL))
    asked = {"RoleArn": role, "RoleSessionName": "bird"}
    made = [
        planted.session("GetSessionToken", sts.get_session_token()["Credentials"]),
        planted.session("AssumeRole", sts.assume_role(**asked)["Credentials"]),
        planted.session("GetFederationToken", sts.get_federation_token(Name="egg", Policy=json.dumps(ALL))["Credentials"]),
        planted.session(
            "AssumeRole of version 2", planted.client("sts", config=QUERY_V2, **keys).assume_role(**asked)["Credentials"]
        ),
    ]
    for session in made:
        planted.client("sts", **session).get_caller_identity()
        planted.client("ec2", **session).describe_instances()
        planted.client("ec2", config=QUERY_V2, **session).describe_instances()
        stale = {**session, "aws_session_token": planted.new("a stale token")}
        planted.fails(planted.client("ec2", **stale).describe_instances)
        planted.fails(planted.client("s3", **stale).list_buckets)
    parts = (planted.new("a part of a token of the web") for _ in range(3))
    token = planted.add("a token of the web", ".".join(base64.urlsafe_b64encode(p.encode()).decode() for p in parts))
    for bad in (token, planted.new("no token of the web"), planted.new("a long token", "{}" + "x" * 30_000)):
        planted.fails(unchecked.assume_role_with_web_identity, **asked, WebIdentityToken=bad)
    code = planted.new("a code of MFA")
    planted.fails(unchecked.get_session_token, SerialNumber="arn:aws:iam::1:mfa/x", TokenCode=code)
    planted.fails(unchecked.assume_role, **asked, SerialNumber="arn:aws:iam::1:mfa/x", TokenCode=code)
    return made


def instances(planted):
    ec2, iam = planted.client("ec2"), planted.client("iam")
    unchecked = planted.client("ec2", config=UNCHECKED)
    pair = ec2.create_key_pair(KeyName="bird")
    for line in pair["KeyMaterial"].splitlines()[1:-2]:
        planted.add("the private key of a key pair", line)
    iam.create_instance_profile(InstanceProfileName="nest")
    iam.add_role_to_instance_profile(InstanceProfileName="nest", RoleName="nest")
    disk = planted.tiers.root / "disk.raw"
    boot = bytearray(1 << 20)
    boot[510:512] = b"\x55\xaa"
    disk.write_bytes(boot)
    image = eventually(lambda: planted.tiers.run("image", "tiny", "--add", str(disk)))
    one = {"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1}

    def data(what, form="#!/bin/sh\necho {}\n"):
        text = planted.new(what, form)
        planted.secrets[re.search("Canary[0-9a-f]+", text)[0]] = f"the inside of {what}"
        return text

    launched = eventually(
        lambda: ec2.run_instances(**one, UserData=data("user data"), IamInstanceProfile={"Name": "nest"}, KeyName="bird")
    )
    instance = launched["Instances"][0]["InstanceId"]
    wait(ec2, "instance_running", [instance])
    planted.fails(ec2.run_instances, **one, UserData=data("large user data", "{}" + "x" * 40_000))
    planted.fails(ec2.run_instances, **{**one, "ImageId": "ami-00000000"}, UserData=data("user data of nothing"))
    planted.fails(ec2.modify_instance_attribute, InstanceId=instance, UserData={"Value": data("user data of one that runs")})
    ec2.stop_instances(InstanceIds=[instance])
    wait(ec2, "instance_stopped", [instance])
    ec2.modify_instance_attribute(InstanceId=instance, UserData={"Value": data("changed user data")})
    # The rest is not encoded by botocore.
    encoded = lambda what: base64.b64encode(data(what).encode()).decode()
    template = {"ImageId": image, "UserData": encoded("a template's user data")}
    ec2.create_launch_template(LaunchTemplateName="bird", LaunchTemplateData=template)
    template["UserData"] = encoded("a template's second user data")
    ec2.create_launch_template_version(LaunchTemplateName="bird", LaunchTemplateData=template)
    template["UserData"] = data("a template's bad user data", "!{}!")
    planted.fails(unchecked.create_launch_template, LaunchTemplateName="bad", LaunchTemplateData=template)
    specification = {"ImageId": image, "InstanceType": "t3.nano", "UserData": encoded("a spot request's user data")}
    ec2.request_spot_instances(InstanceCount=1, LaunchSpecification=specification)
    ec2.get_password_data(InstanceId=instance)
    ec2.start_instances(InstanceIds=[instance])
    wait(ec2, "instance_running", [instance])


def objects(planted, made):
    s3 = planted.client("s3")
    s3.create_bucket(Bucket="nest")
    customer = planted.new("a key of the customer")[:32]
    planted.add("a key of the customer", customer)
    for endpoint in (planted.tiers.endpoint, planted.tiers.s3_endpoint):
        for options in ({}, {"config": V2}, *made):
            client = planted.client("s3", **{"endpoint_url": endpoint, **options})
            client.put_object(Bucket="nest", Key="egg", Body=b"egg")
            urls = [client.generate_presigned_url("get_object", {"Bucket": "nest", "Key": "egg"})]
            typed = {"Bucket": "nest", "Key": "egg", "ContentType": "text/x-egg"}
            urls.append(client.generate_presigned_url("put_object", typed))
            for url, method, data in zip(urls, ("GET", "PUT"), (None, b"egg")):
                query = urllib.parse.parse_qs(urllib.parse.urlparse(url).query)
                for name in ("X-Amz-Signature", "Signature"):
                    for value in query.get(name, []):
                        planted.add("a presigned signature", value)
                headers = {"Content-Type": "text/x-egg"} if data else None
                assert planted.fetch(url, method, data, headers) is not None
                # Used in another way: refused.
                assert planted.fetch(url, "DELETE") is None
        direct = planted.client("s3", endpoint_url=endpoint)
        try:
            direct.put_object(
                Bucket="nest", Key="closed", Body=b"x", SSECustomerAlgorithm="AES256", SSECustomerKey=customer
            )
        except ClientError as error:
            planted.replies.append(json.dumps(error.response, default=str))


def of_tiers(planted):
    """What the tiers have themselves: join tokens, keys, the seal; and whoever comes with a token that was used."""
    tiers = planted.tiers
    for token in tiers.tokens:
        planted.add("a join token", token)
        # Its secret part, without what tells the cloud.
        planted.add("the end of a join token", token[-24:])
    planted.add("the administrator's key", tiers.keys["AWS_SECRET_ACCESS_KEY"])
    join = ["node", "--join", f"https://{tiers.address['control']}", "--name", "thief", "--simulate-host"]
    tiers.start("thief", *join, "--token", tiers.tokens[-1])
    assert tiers.processes["thief"].wait(timeout=30) != 0
    found = 0
    for path in tiers.root.rglob("*"):
        if path.is_file() and path.suffix in (".pem", ".key") and path.parent.name != "made":
            content = path.read_bytes()
            if b"PRIVATE KEY" in content:
                inside = content.decode().split("PRIVATE KEY-----")[1].split("-----END")[0]
                for line in inside.split():
                    found += 1
                    if len(line) >= 16:
                        planted.add(f"a line of {path.name}", line)
            elif path.name == "seal.key":
                found += 1
                planted.add("the seal", binascii.hexlify(content).decode())
                planted.add("the seal in base64", base64.b64encode(content).decode())
    assert found >= 5, "the tiers' own keys are where they were"


def told(planted):
    """Everything that anybody wrote about what happened."""
    root = planted.tiers.root
    for name in (*TIERS, "thief"):
        yield f"the log of {name}", planted.tiers.log(name).read_bytes()
    audit = list((root / "cloud" / "audit").iterdir())
    assert any(path.name == "open-calls" for path in audit)
    for path in audit:
        yield f"audit/{path.name}", path.read_bytes()
    yield "an error's reply", "\n".join(planted.replies).encode()


def test_no_secret_shows_anywhere(tiers, planted):
    keys = identities(planted)
    made = sessions(planted, keys)
    instances(planted)
    objects(planted, made)
    of_tiers(planted)
    # A kill and a start tell their own stories.
    for name in TIERS:
        tiers.restart(name)
    eventually(lambda: planted.client("s3", endpoint_url=tiers.s3_endpoint).list_buckets())
    tiers.run("status", "--wait", "--timeout", "40")
    planted.client("ec2").describe_instances()

    # Credentials that no operation answers (those of instances' roles): their tokens are known by their hashes.
    database = sqlite3.connect(f"file:{tiers.root / 'cloud' / 'mallee.db'}?mode=ro", uri=True)
    hashes = {row[0] for row in database.execute("SELECT token_hash FROM sessions")}
    database.close()
    assert len(hashes) > len(made), "an instance has credentials of its role"
    shown = []
    for where, text in told(planted):
        for secret, what in planted.secrets.items():
            shown.extend(f"{what} in {where}: …{context(text, form)}…" for form in forms(secret) if form in text)
        for word in set(re.findall(rb"[A-Za-z0-9+/]{%d,}" % TOKEN_LETTERS, text)):
            for at in range(min(len(word), 400) - TOKEN_LETTERS + 1):
                token = word[at : at + TOKEN_LETTERS]
                if hashlib.sha256(token).hexdigest() in hashes:
                    shown.append(f"a session's token in {where}: {context(text, token)}")
    assert not shown, f"{len(shown)} secrets show:\n" + "\n".join(sorted(set(shown))[:40])
    # The search means something: each tier has told all it can, and the trail has hidden what it should.
    for name in TIERS:
        assert b'"level":"TRACE"' in tiers.log(name).read_bytes(), name
    trail = (tiers.root / "cloud" / "audit" / "audit-00000001.jsonl").read_text()
    for name in ("password", "userData", "privateKey", "webIdentityToken", "tokenCode", "authenticationCode1"):
        assert f'"{name}":"HIDDEN_DUE_TO_SECURITY_REASONS"' in trail or f'"{name}":{{"value":"HIDDEN' in trail, name


def context(text, form):
    at = text.find(form)
    return text[max(0, at - 160) : at + 20].decode(errors="replace")
