"""Buckets as web sites, and buckets that hosts name: what browsers and boto3 see of both."""

import json
import uuid

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from support import Cloud

DOMAIN = "s3.cloud.test"
SITES = "web.cloud.test"


@pytest.fixture(scope="module")
def cloud():
    cloud = Cloud("--simulate", "1", "--s3-domain", DOMAIN, "--s3-website-domain", SITES)
    yield cloud
    cloud.stop()
    cloud.directory.cleanup()


@pytest.fixture(scope="module")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture
def bucket(s3):
    name = f"site-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    yield name
    for item in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=item["Key"])
    s3.delete_bucket(Bucket=name)


def public(s3, bucket, listed=True):
    s3.delete_public_access_block(Bucket=bucket)
    statements = [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/open/*"},
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*.html"},
    ]
    if listed:
        resource = f"arn:aws:s3:::{bucket}"
        statements.append({"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": resource})
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))


def site(s3, bucket, **configuration):
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=configuration)


def visit(cloud, bucket, path="/", method="GET", **headers):
    sent = {"Host": f"{bucket}.{SITES}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return requests.request(method, cloud.endpoint + path, headers=sent, allow_redirects=False, timeout=10)


def put(s3, bucket, key, body, **options):
    s3.put_object(Bucket=bucket, Key=key, Body=body, **{"ContentType": "text/html", **options})


def refused(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


INDEX = {"IndexDocument": {"Suffix": "index.html"}}


def test_documents(s3, bucket):
    assert refused(s3.get_bucket_website, Bucket=bucket) == "NoSuchWebsiteConfiguration"
    whole = {
        **INDEX,
        "ErrorDocument": {"Key": "error.html"},
        "RoutingRules": [
            {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "open/"}},
            {
                "Condition": {"HttpErrorCodeReturnedEquals": "404"},
                "Redirect": {"HostName": "example.com", "HttpRedirectCode": "302", "Protocol": "https"},
            },
        ],
    }
    site(s3, bucket, **whole)
    found = s3.get_bucket_website(Bucket=bucket)
    assert {key: found[key] for key in whole} == whole
    for bad, code in [
        ({}, "InvalidArgument"),
        ({"IndexDocument": {"Suffix": "a/b"}}, "InvalidArgument"),
        ({**INDEX, "RedirectAllRequestsTo": {"HostName": "x"}}, "InvalidArgument"),
        ({"RedirectAllRequestsTo": {"HostName": "x", "Protocol": "ftp"}}, "InvalidRequest"),
    ]:
        assert refused(site, s3=s3, bucket=bucket, **bad) == code, bad
    s3.delete_bucket_website(Bucket=bucket)
    assert refused(s3.get_bucket_website, Bucket=bucket) == "NoSuchWebsiteConfiguration"


def test_pages(cloud, s3, bucket):
    reply = visit(cloud, bucket)
    assert reply.status_code == 404 and "NoSuchWebsiteConfiguration" in reply.text
    assert visit(cloud, f"none-{bucket}").headers["x-amz-error-code"] == "NoSuchBucket"
    site(s3, bucket, **INDEX)
    put(s3, bucket, "index.html", b"<h1>home</h1>")
    put(s3, bucket, "docs/index.html", b"<h1>docs</h1>")
    put(s3, bucket, "open/a.css", b"body {}", ContentType="text/css")
    put(s3, bucket, "secret", b"secret")
    assert visit(cloud, bucket).status_code == 403, "a site shows what anybody may read, and no more"
    public(s3, bucket)
    reply = visit(cloud, bucket)
    assert (reply.status_code, reply.text, reply.headers["Content-Type"]) == (200, "<h1>home</h1>", "text/html")
    assert visit(cloud, bucket, "/docs/").text == "<h1>docs</h1>"
    reply = visit(cloud, bucket, "/docs")
    assert (reply.status_code, reply.headers["Location"]) == (302, "/docs/")
    reply = visit(cloud, bucket, "/open/a.css", Range="bytes=0-3")
    assert (reply.status_code, reply.text, reply.headers["Content-Type"]) == (206, "body", "text/css")
    etag = visit(cloud, bucket, method="HEAD").headers["ETag"]
    assert visit(cloud, bucket, If_None_Match=etag).status_code == 304
    reply = visit(cloud, bucket, "/secret")
    assert reply.status_code == 403 and reply.headers["Content-Type"].startswith("text/html")
    assert "<li>Code: AccessDenied</li>" in reply.text and "secret" not in reply.text.replace("/secret", "")
    reply = visit(cloud, bucket, "/open/<b>")
    assert reply.status_code == 404 and "<li>Code: NoSuchKey</li>" in reply.text and "<b>" not in reply.text
    for method in ("PUT", "POST", "DELETE"):
        assert visit(cloud, bucket, "/index.html", method).status_code == 405
    # Parameters name no operation here, and paths no service.
    assert visit(cloud, bucket, "/?acl&uploads").text == "<h1>home</h1>"
    assert visit(cloud, bucket, "/?Action=DescribeInstances&Version=2016-11-15").text == "<h1>home</h1>"
    assert visit(cloud, bucket, "/health").status_code == 403, "not the door's own answer"


def test_errors_and_redirects(cloud, s3, bucket):
    public(s3, bucket)
    rules = [
        {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "open/"}},
        {
            "Condition": {"HttpErrorCodeReturnedEquals": "404", "KeyPrefixEquals": "open/moved/"},
            "Redirect": {"HostName": "example.com", "Protocol": "https", "HttpRedirectCode": "307"},
        },
    ]
    site(s3, bucket, **INDEX, ErrorDocument={"Key": "oops.html"}, RoutingRules=rules)
    reply = visit(cloud, bucket, "/open/nothing")
    assert reply.status_code == 404 and "Attempting to Retrieve a Custom Error Document" in reply.text
    put(s3, bucket, "oops.html", b"<h1>oops</h1>")
    reply = visit(cloud, bucket, "/open/nothing")
    assert (reply.status_code, reply.text) == (404, "<h1>oops</h1>")
    assert reply.headers["x-amz-error-code"] == "NoSuchKey"
    reply = visit(cloud, bucket, "/old/a b")
    assert (reply.status_code, reply.headers["Location"]) == (301, "/open/a%20b")
    reply = visit(cloud, bucket, "/open/moved/x")
    assert (reply.status_code, reply.headers["Location"]) == (307, "https://example.com/open/moved/x")
    put(s3, bucket, "open/here", b"", WebsiteRedirectLocation="https://example.com/there")
    assert s3.head_object(Bucket=bucket, Key="open/here")["WebsiteRedirectLocation"] == "https://example.com/there"
    reply = visit(cloud, bucket, "/open/here")
    assert (reply.status_code, reply.headers["Location"]) == (301, "https://example.com/there")
    s3.copy_object(Bucket=bucket, Key="open/copy", CopySource={"Bucket": bucket, "Key": "open/here"})
    assert "WebsiteRedirectLocation" not in s3.head_object(Bucket=bucket, Key="open/copy")
    assert refused(put, s3=s3, bucket=bucket, key="x", body=b"", WebsiteRedirectLocation="ftp://x") == (
        "InvalidRedirectLocation"
    )
    site(s3, bucket, RedirectAllRequestsTo={"HostName": "example.com", "Protocol": "https"})
    reply = visit(cloud, bucket, "/a/b?c=d")
    assert (reply.status_code, reply.headers["Location"]) == (301, "https://example.com/a/b?c=d")
    # A name without a rule leads to no other host.
    site(s3, bucket, **INDEX, RoutingRules=[{"Redirect": {"HttpRedirectCode": "302"}}])
    assert visit(cloud, bucket, "//example.com/").headers["Location"] == "/%2Fexample.com/"


@pytest.fixture
def virtual(cloud, monkeypatch):
    """boto3 as it is for AWS: buckets in hosts' names. Only where those names lead is changed."""
    import urllib3.util.connection as connection

    plain = connection.create_connection

    def create(address, *arguments, **options):
        host = "127.0.0.1" if address[0].endswith(DOMAIN) else address[0]
        return plain((host, address[1]), *arguments, **options)

    monkeypatch.setattr(connection, "create_connection", create)
    monkeypatch.setattr("socket.getaddrinfo", resolver(__import__("socket").getaddrinfo))
    return boto3.client(
        "s3",
        endpoint_url=f"http://{DOMAIN}:{cloud.port}",
        aws_access_key_id=cloud.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=cloud.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=cloud.environment["AWS_DEFAULT_REGION"],
        config=Config(s3={"addressing_style": "virtual"}, signature_version="s3v4", retries={"max_attempts": 1}),
    )


def resolver(plain):
    return lambda host, *more, **options: plain("127.0.0.1" if host.endswith(DOMAIN) else host, *more, **options)


def test_hosts_of_buckets(cloud, s3, bucket, virtual):
    for key in ("k", "a b/ü", "services/objectstorage/x", "health", "services/compute"):
        virtual.put_object(Bucket=bucket, Key=key, Body=key.encode())
        assert virtual.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    listed = virtual.list_objects_v2(Bucket=bucket)
    assert listed["KeyCount"] == 5 and listed["Name"] == bucket
    assert bucket in [b["Name"] for b in virtual.list_buckets()["Buckets"]]
    url = virtual.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert url.startswith(f"http://{bucket}.{DOMAIN}")
    assert requests.get(url, timeout=10).content == b"k"
    form = virtual.generate_presigned_post(bucket, "form")
    reply = requests.post(form["url"], data=form["fields"], files={"file": b"f"}, timeout=10)
    assert reply.status_code == 204 and s3.head_object(Bucket=bucket, Key="form")["ContentLength"] == 1
    # Eucalyptus' path to the service, at the same port.
    path = boto3.client(
        "s3",
        endpoint_url=f"{cloud.endpoint}/services/objectstorage",
        aws_access_key_id=cloud.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=cloud.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=cloud.environment["AWS_DEFAULT_REGION"],
        config=Config(s3={"addressing_style": "path"}),
    )
    assert path.get_object(Bucket=bucket, Key="k")["Body"].read() == b"k"
    # A signature for one bucket's host opens no other's.
    reply = requests.get(url.replace(bucket, f"other-{bucket}"), timeout=10)
    assert reply.status_code == 403
