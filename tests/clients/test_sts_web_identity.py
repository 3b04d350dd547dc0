"""AssumeRoleWithWebIdentity through boto3, against an OpenID Connect provider of this test on the loopback."""

import base64
import datetime
import hashlib
import http.server
import json
import ssl
import threading
import time

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID

from support import Cloud, free_port
from test_compute import refused
from test_sts import as_session


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size=None):
    return encode(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Provider:
    """An issuer with a certificate of its own making, one RSA and one EC key."""

    def __init__(self, directory):
        self.port = free_port()
        self.url = f"localhost:{self.port}"
        self.issuer = f"https://{self.url}"
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.asked = []
        self.documents = {
            "/.well-known/openid-configuration": {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"},
            "/keys": {"keys": [self.rsa_key("r1"), self.ec_key("e1")]},
        }
        self.redirect = None
        self.thumbprint = self.serve(directory)

    def rsa_key(self, name):
        numbers = self.rsa.public_key().public_numbers()
        return {"kty": "RSA", "kid": name, "use": "sig", "n": number(numbers.n), "e": number(numbers.e)}

    def ec_key(self, name):
        numbers = self.ec.public_key().public_numbers()
        return {"kty": "EC", "kid": name, "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}

    def serve(self, directory):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = directory / "provider.pem"
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                provider.asked.append(self.path)
                if provider.redirect:
                    self.send_response(302)
                    self.send_header("Location", provider.redirect)
                    self.end_headers()
                    return
                document = provider.documents.get(self.path)
                body = json.dumps(document).encode()
                self.send_response(200 if document else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return hashlib.sha1(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()

    def token(self, algorithm="RS256", kid=None, **changed):
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "pod:web", "aud": "mallee", "iat": now, "exp": now + 600, **changed}
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": algorithm, "kid": kid or ("r1" if algorithm == "RS256" else "e1")}
        signed = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
        if algorithm == "RS256":
            signature = self.rsa.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            r, s = utils.decode_dss_signature(self.ec.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{signed}.{encode(signature)}"


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    provider = Provider(tmp_path_factory.mktemp("oidc"))
    yield provider
    provider.server.shutdown()


@pytest.fixture(scope="module")
def cloud(provider):
    cloud = Cloud("--simulate", "1", "--private-issuer", provider.url)
    yield cloud
    cloud.stop()
    cloud.directory.cleanup()


@pytest.fixture(scope="module")
def iam(cloud):
    return cloud.client("iam")


@pytest.fixture(scope="module")
def role(iam, provider):
    arn = iam.create_open_id_connect_provider(
        Url=provider.issuer, ClientIDList=["mallee", "other"], ThumbprintList=[provider.thumbprint]
    )["OpenIDConnectProviderArn"]
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Federated": arn},
            "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
            "Condition": {"StringEquals": {f"{provider.url}:aud": "mallee"}, "StringLike": {f"{provider.url}:sub": "pod:*"}},
        },
    }
    made = iam.create_role(RoleName="pods", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    allow = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}}
    iam.put_role_policy(RoleName="pods", PolicyName="look", PolicyDocument=json.dumps(allow))
    return made


@pytest.fixture(scope="module")
def assume(cloud, role):
    # As an SDK in a pod: no credentials at all.
    config = Config(signature_version=UNSIGNED, retries={"max_attempts": 1, "mode": "standard"})
    sts = cloud.client("sts", aws_access_key_id=None, aws_secret_access_key=None, config=config)

    def call(token, **options):
        options = {"RoleArn": role, "RoleSessionName": "pod", **options}
        return sts.assume_role_with_web_identity(WebIdentityToken=token, **options)

    return call


def test_a_token_gives_credentials_of_the_role(cloud, provider, assume):
    for algorithm in ["RS256", "ES256"]:
        reply = assume(provider.token(algorithm), DurationSeconds=900)
        assert reply["SubjectFromWebIdentityToken"] == "pod:web"
        assert reply["Audience"] == "mallee"
        assert reply["Provider"].endswith(f":oidc-provider/{provider.url}")
        assert reply["AssumedRoleUser"]["Arn"].endswith(":assumed-role/pods/pod")
        as_session(cloud, "ec2", reply["Credentials"]).describe_instances()
        refused("UnauthorizedOperation", as_session(cloud, "ec2", reply["Credentials"]).create_key_pair, KeyName="k")
    # The party that the token was given to is the audience that counts.
    assert assume(provider.token(aud=["x", "mallee"], azp="mallee"))["Audience"] == "mallee"
    nothing = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
    limited = assume(provider.token(), Policy=json.dumps(nothing))
    assert limited["PackedPolicySize"] > 0
    refused("UnauthorizedOperation", as_session(cloud, "ec2", limited["Credentials"]).describe_instances)
    tagged = provider.token(**{"https://aws.amazon.com/tags": {"principal_tags": {"team": ["red"]}}})
    assert assume(tagged)["PackedPolicySize"] > 0


def test_tokens_that_are_not_believed(provider, assume, role):
    now = int(time.time())
    for code, token in [
        ("InvalidIdentityToken", "not.a.token"),
        ("InvalidIdentityToken", provider.token(iss="https://elsewhere.example")),
        ("InvalidIdentityToken", provider.token(aud="stranger")),
        ("InvalidIdentityToken", provider.token(azp="stranger")),
        ("InvalidIdentityToken", provider.token(sub=None)),
        ("InvalidIdentityToken", provider.token()[:-8] + "AAAAAAAA"),
        ("InvalidIdentityToken", provider.token(kid="unknown")),
        ("ExpiredTokenException", provider.token(exp=now - 3600, iat=now - 7200)),
        ("IDPRejectedClaim", provider.token(nbf=now + 3600, exp=now + 7200)),
        ("AccessDenied", provider.token(aud="other")),
        ("AccessDenied", provider.token(sub="user:eve")),
    ]:
        refused(code, assume, token=token)
    refused("AccessDenied", assume, token=provider.token(), RoleArn=role.replace("pods", "nobody"))
    refused("ValidationError", assume, token=provider.token(), RoleArn="no-arn-of-a-role-at-all")
    refused("ValidationError", assume, token=provider.token(), DurationSeconds=43200)
    refused("UnsupportedOperation", assume, token=provider.token(), ProviderId="www.amazon.com")


def test_where_keys_come_from(cloud, iam, provider, assume):
    asked = len(provider.asked)
    assume(provider.token())
    assert len(provider.asked) == asked, "they are remembered"
    arn = next(p["Arn"] for p in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"])
    # A certificate that nobody registered.
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["0" * 40])
    error = refused("InvalidIdentityToken", assume, token=provider.token())
    assert "thumbprint" in str(error)
    # A redirect is not followed, wherever it leads; another's discovery document is not believed.
    for thumbprints, change in [
        ([provider.thumbprint, "1" * 40], lambda: setattr(provider, "redirect", f"{provider.issuer}/keys")),
        (
            [provider.thumbprint, "2" * 40],
            lambda: provider.documents["/.well-known/openid-configuration"].update(issuer="https://other.example"),
        ),
        (
            [provider.thumbprint, "3" * 40],
            lambda: provider.documents["/.well-known/openid-configuration"].update(
                issuer=provider.issuer, jwks_uri=f"https://127.0.0.1:{provider.port}/keys"
            ),
        ),
    ]:
        change()
        iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=thumbprints)
        refused("InvalidIdentityToken", assume, token=provider.token())
        provider.redirect = None
    provider.documents["/.well-known/openid-configuration"]["jwks_uri"] = f"{provider.issuer}/keys"
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=[provider.thumbprint, "4" * 40])
    assume(provider.token())


def test_a_provider_inside_is_not_asked(cloud, iam, provider, assume):
    """A tenant registers an address of the cloud's own network: nothing is sent there."""
    asked = len(provider.asked)
    url = f"https://127.0.0.1:{provider.port}"
    iam.create_open_id_connect_provider(Url=url, ClientIDList=["mallee"], ThumbprintList=[provider.thumbprint])
    error = refused("InvalidIdentityToken", assume, token=provider.token(iss=url))
    assert "verification key" in str(error) and "public" not in str(error)
    assert len(provider.asked) == asked
