"""The certificate that verifies identity documents of instances, as everybody gets it from the cloud's port: with curl and
openssl, and nothing of AWS. (What it verifies: mallee-app's and mallee-api-ec2's tests, and tests/real in a guest.)"""

import time
import urllib.error
import urllib.request

from support import run

PATH = "/_mallee/instance-identity.pem"


def certificate(cloud):
    """Asked for as a guest would: without a signature. The first start makes the key in the background."""
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(cloud.environment["AWS_ENDPOINT_URL"] + PATH) as reply:
                assert reply.headers["Content-Type"].startswith("text/plain")
                return reply.read().decode()
        except urllib.error.HTTPError as error:
            assert error.code == 503 and time.monotonic() < end, error
        time.sleep(0.1)


def test_the_certificate_is_public_and_of_the_key_that_signs(cloud, tmp_path):
    text = certificate(cloud)
    path = tmp_path / "certificate"
    path.write_text(text)
    shown = run("openssl", "x509", "-in", path, "-noout", "-subject", "-text").stdout
    assert "instance identity" in shown and "Public-Key: (2048 bit)" in shown
    assert "sha256WithRSAEncryption" in shown
    run("openssl", "verify", "-CAfile", path, path)
    assert text.startswith("-----BEGIN CERTIFICATE-----") and "PRIVATE" not in text
    assert certificate(cloud) == text, "always the same"


def test_its_path_is_no_way_into_the_object_store(cloud):
    for path in ["/_mallee", "/_mallee/", "/_mallee/other"]:
        try:
            urllib.request.urlopen(cloud.environment["AWS_ENDPOINT_URL"] + path)
        except urllib.error.HTTPError as error:
            assert error.code in (400, 403, 404), error
        else:
            raise AssertionError(f"{path} answers")
