"""Pages of other web sites: CORS documents, the browser's question before, and what replies tell it."""

import uuid

import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

RULES = [
    {
        "ID": "uploads",
        "AllowedMethods": ["PUT", "GET"],
        "AllowedOrigins": ["https://*.example.com"],
        "AllowedHeaders": ["x-amz-*", "Content-Type"],
        "ExposeHeaders": ["ETag", "x-amz-request-id"],
        "MaxAgeSeconds": 3000,
    },
    {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]},
]
NOT_ALLOWED = "CORSResponse: This CORS request is not allowed."


@pytest.fixture
def s3(cloud):
    # Presigned by version 4 wherever the region is.
    return cloud.client("s3", config=Config(signature_version="s3v4", retries={"max_attempts": 1}))


@pytest.fixture
def bucket(s3):
    name = f"cors-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    yield name
    for item in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=item["Key"])
    s3.delete_bucket(Bucket=name)


def put(s3, bucket, rules):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})


def refused(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def ask(cloud, path, origin=None, method=None, headers=None):
    sent = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return requests.options(cloud.endpoint + path, headers={k: v for k, v in sent.items() if v}, timeout=10)


def told(reply):
    return {k.lower(): v for k, v in reply.headers.items() if k.lower().startswith("access-control-")}


def test_documents(s3, bucket):
    assert refused(s3.get_bucket_cors, Bucket=bucket)[0] == "NoSuchCORSConfiguration"
    put(s3, bucket, RULES)
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES
    least = RULES[1]
    for rule, code, text in [
        ({**least, "AllowedMethods": ["PATCH"]}, "InvalidRequest", "Unsupported method is PATCH"),
        ({**least, "AllowedOrigins": ["http://*.*"]}, "InvalidRequest", "can not have more than one wildcard"),
        ({**least, "ExposeHeaders": ["x-*"]}, "InvalidRequest", "do not support wildcard for ExposeHeader"),
        ({**least, "ID": "i" * 256}, "InvalidArgument", "255"),
    ]:
        found, says = refused(put, s3=s3, bucket=bucket, rules=[rule])
        assert (found, text in says) == (code, True), says
    assert refused(put, s3=s3, bucket=bucket, rules=[least] * 101)[0] == "InvalidRequest"
    assert refused(put, s3=s3, bucket=bucket, rules=[])[0] == "MalformedXML"
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES, "what was refused changed nothing"
    s3.delete_bucket_cors(Bucket=bucket)
    assert refused(s3.get_bucket_cors, Bucket=bucket)[0] == "NoSuchCORSConfiguration"


def test_preflight(cloud, s3, bucket):
    path = f"/{bucket}/any/key"
    reply = ask(cloud, path, "https://a.example.com", "PUT")
    assert reply.status_code == 403 and "CORSResponse: CORS is not enabled for this bucket." in reply.text
    reply = ask(cloud, f"/none-{bucket}/k", "https://a.example.com", "PUT")
    assert reply.status_code == 403 and "CORSResponse: Bucket not found" in reply.text
    put(s3, bucket, RULES)
    reply = ask(cloud, path)
    assert reply.status_code == 400 and "Origin request header needed" in reply.text
    assert ask(cloud, path, "https://a.example.com").status_code == 400

    reply = ask(cloud, path, "https://a.example.com", "PUT", "X-Amz-Date, content-type")
    assert reply.status_code == 200 and reply.content == b""
    assert told(reply) == {
        "access-control-allow-origin": "https://a.example.com",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "PUT, GET",
        "access-control-allow-headers": "x-amz-date, content-type",
        "access-control-expose-headers": "ETag, x-amz-request-id",
        "access-control-max-age": "3000",
    }
    assert "Origin" in reply.headers["Vary"]
    # The second rule: any origin, and so no credentials.
    reply = ask(cloud, path, "http://other.org", "GET")
    assert told(reply) == {"access-control-allow-origin": "*", "access-control-allow-methods": "GET"}
    for origin, method, headers in [
        ("http://other.org", "PUT", None),
        ("https://a.example.com", "DELETE", None),
        ("https://a.example.com", "PUT", "x-other"),
    ]:
        reply = ask(cloud, path, origin, method, headers)
        assert reply.status_code == 403 and NOT_ALLOWED in reply.text, (origin, method, headers)
        assert f"<Method>{method}</Method><ResourceType>OBJECT</ResourceType>" in reply.text
        assert told(reply) == {}


def test_replies_and_errors_tell_the_page(cloud, s3, bucket):
    put(s3, bucket, RULES)
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    reply = requests.get(url, headers={"Origin": "https://a.example.com"}, timeout=10)
    assert reply.content == b"data" and told(reply)["access-control-allow-origin"] == "https://a.example.com"
    assert told(reply)["access-control-expose-headers"] == "ETag, x-amz-request-id"
    assert told(requests.get(url, timeout=10)) == {}, "not from a page"
    # Who may not read is told so, and the page may see it.
    reply = requests.get(f"{cloud.endpoint}/{bucket}/k", headers={"Origin": "http://x.org"}, timeout=10)
    assert reply.status_code == 403 and told(reply)["access-control-allow-origin"] == "*"
    reply = requests.delete(f"{cloud.endpoint}/{bucket}/k", headers={"Origin": "http://x.org"}, timeout=10)
    assert reply.status_code == 403 and told(reply) == {}
    missing = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "no"})
    reply = requests.get(missing, headers={"Origin": "http://x.org"}, timeout=10)
    assert reply.status_code == 404 and told(reply)["access-control-allow-origin"] == "*"
