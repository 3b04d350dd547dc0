"""Writes the seeds that are real requests, and the dictionaries of their words: what botocore makes of every operation
of S3, with all that it takes.

    .venv/bin/python fuzz/seeds.py

Seeds and dictionaries of other names were written by hand and stay.
"""

import datetime
import pathlib
import re

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config

HERE = pathlib.Path(__file__).parent
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
"""As fuzz/src/signature.rs has it."""
EXTRA = {
    "Bucket": "bucket", "Key": "a/k", "CopySource": "source/k%20k?versionId=null", "VersionId": "null",
    "Policy": '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
    '"Resource":"arn:aws:s3:::bucket/*","Condition":{"StringLike":{"aws:Referer":"http://*"}}}]}',
    "Range": "bytes=0-9", "CopySourceRange": "bytes=0-9", "Tagging": "a=b&c=d", "Expires": 60,
    "ContentMD5": "1B2M2Y8AsgTpgAmY7PhCfg==", "SSECustomerKey": "k" * 32, "CopySourceSSECustomerKey": "k" * 32,
    "SSECustomerAlgorithm": "AES256", "CopySourceSSECustomerAlgorithm": "AES256", "Topic": "arn:aws:sns:r:111122223333:t",
    "TopicArn": "arn:aws:sns:r:111122223333:t", "QueueArn": "arn:aws:sqs:r:111122223333:q",
    "LambdaFunctionArn": "arn:aws:lambda:r:111122223333:f", "Role": "arn:aws:iam::111122223333:role/r",
    "HostName": "h.example", "Protocol": "https", "HttpRedirectCode": "302", "HttpErrorCodeReturnedEquals": "404",
    "GrantRead": 'uri="http://acs.amazonaws.com/groups/global/AllUsers", id="a"', "StorageClass": "STANDARD_IA",
    "Suffix": "index.html", "Priority": 1, "SSEKMSEncryptionContext": "e30=", "ExpectedBucketOwner": "111122223333",
}
ALGORITHM = re.compile("^Checksum(CRC32|CRC32C|CRC64NVME|SHA1|SHA256|MD5|SHA512|XXHASH.*)$")
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
V2 = {"PutObject", "CopyObject", "DeleteObjects", "GetBucketAcl", "GetObject", "ListObjectsV2", "UploadPart"}
"""Operations that are seeds of signature version 2 too."""
AWAY = {"WriteGetObjectResponse", "SelectObjectContent", "ListDirectoryBuckets", "CreateSession"}


def value(shape, name, everything, depth=0):
    """Something that a member of this shape can be."""
    if name in EXTRA and shape.type_name in ("string", "integer", "long"):
        return str(EXTRA[name]) if shape.type_name == "string" else EXTRA[name]
    kind = shape.type_name
    if kind == "structure":
        names = shape.members if everything and depth < 9 else shape.required_members
        chosen = [n for n in names if not ALGORITHM.match(n)]
        if getattr(shape, "is_tagged_union", False):
            chosen = chosen[:1]
        if shape.name == "LifecycleRule" and everything:
            chosen = [n for n in chosen if n not in ("Prefix", "Transition")]
        return {n: value(shape.members[n], n, everything, depth + 1) for n in chosen}
    if kind == "list":
        return [value(shape.member, name.rstrip("s"), everything, depth + 1)]
    if kind == "map":
        return {"a": value(shape.value, "", everything, depth + 1)}
    if kind == "timestamp":
        return WHEN
    if kind == "boolean":
        return True
    if kind in ("integer", "long"):
        return 3
    if kind == "blob":
        return b"data"
    return shape.enum[0] if getattr(shape, "enum", None) else "x"


def lines(request):
    """A request as fuzz/src/lines.rs reads it."""
    target = "/" + request.url.split("/", 3)[3]
    host = request.url.split("/")[2]
    headers = {"host": host, **{k.lower(): v if isinstance(v, str) else v.decode() for k, v in request.headers.items()}}
    for gone in ("user-agent", "amz-sdk-invocation-id", "amz-sdk-request", "content-length"):
        headers.pop(gone, None)
    body = request.body or b""
    if hasattr(body, "read"):
        body = body.read()
    if isinstance(body, str):
        body = body.encode()
    head = [f"{request.method} {target}", *(f"{k}:{v}" for k, v in headers.items())]
    return "\n".join(head).encode() + b"\n\n" + body, headers, body


def put(target, name, data):
    (HERE / "seeds" / target).mkdir(parents=True, exist_ok=True)
    (HERE / "seeds" / target / f"sdk-{name}").write_bytes(data)


def chunk(headers, body):
    """A body in chunks as the target `chunk` has it: which form, how long, and how it is cut."""
    form = ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER"].index(headers["x-amz-content-sha256"])
    return bytes([form, int(headers["x-amz-decoded-content-length"]), 3, 2, 5, 9]) + body


def client(**options):
    session = botocore.session.get_session()
    session.set_credentials(KEY, SECRET)
    config = Config(signature_version=options.pop("signature", "s3v4"), retries={"max_attempts": 0},
                    parameter_validation=False, **options)
    return session.create_client("s3", region_name="us-east-1", endpoint_url="https://s3.example.com", config=config)


def sdk():
    for style, signature, words in (("path", "s3v4", True), ("virtual", "s3", False)):
        made = []
        s3 = client(s3={"addressing_style": style}, signature=signature)

        def send(request, made=made, **_):
            made.append(lines(request))
            reply = AWSResponse(request.url, 500, {}, None)
            reply._content = b""
            return reply

        s3.meta.events.register("before-send", send)
        for name in s3.meta.service_model.operation_names:
            if name in AWAY:
                continue
            shape = s3.meta.service_model.operation_model(name).input_shape
            parameters = value(shape, "", words) if shape else {}
            for gone in ("ContentLength", "SSECustomerKeyMD5", "CopySourceSSECustomerKeyMD5"):
                parameters.pop(gone, None)
            made.clear()
            try:
                s3._make_api_call(name, parameters)
            except Exception as error:  # The reply is no reply; and what botocore itself refuses is no request.
                if not made:
                    print(f"{name}: {error}")
                    continue
            data, headers, body = made[0]
            if words:
                put("request", name, data)
            if name in V2:
                put("signature", f"{'v4' if words else 'v2'}-{name}", data)
            if body.startswith(b"<") and words:
                put("xml", name, body)
            if "x-amz-decoded-content-length" in headers:
                put("chunk", name, chunk(headers, body))


def whole():
    """Documents without what excludes each other, which is refused early."""
    arn, rule = "arn:aws:s3:::to", {"ID": "r", "Status": "Enabled"}
    filters = {"And": {"Prefix": "p", "Tags": [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}]}}
    made, s3 = [], client()

    def send(request, **_):
        made.append(lines(request)[2])
        reply = AWSResponse(request.url, 200, {}, None)
        reply._content = b""
        return reply

    s3.meta.events.register("before-send", send)
    s3.put_bucket_lifecycle_configuration(Bucket="b", LifecycleConfiguration={"Rules": [
        {**rule, "Filter": {"Prefix": ""}, "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"},
         {"Days": 90, "StorageClass": "GLACIER"}], "Expiration": {"Days": 365},
         "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        {**rule, "ID": "s", "Filter": {"Prefix": "a"}, "Expiration": {"Date": WHEN}}]})
    s3.put_bucket_replication(Bucket="b", ReplicationConfiguration={"Role": "arn:aws:iam::111122223333:role/r", "Rules": [
        {**rule, "Priority": 1, "Filter": filters, "DeleteMarkerReplication": {"Status": "Disabled"},
         "Destination": {"Bucket": arn, "StorageClass": "STANDARD"}},
        {**rule, "ID": "s", "Priority": 2, "Filter": {"Prefix": "a"}, "DeleteMarkerReplication": {"Status": "Enabled"},
         "Destination": {"Bucket": arn}}]})
    s3.put_bucket_logging(Bucket="b", BucketLoggingStatus={"LoggingEnabled": {
        "TargetBucket": "to", "TargetPrefix": "p/",
        "TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}}})
    s3.put_bucket_inventory_configuration(Bucket="b", Id="i", InventoryConfiguration={
        "Id": "i", "IsEnabled": True, "IncludedObjectVersions": "All", "Schedule": {"Frequency": "Daily"},
        "OptionalFields": ["Size", "ETag"], "Filter": {"Prefix": "p"},
        "Destination": {"S3BucketDestination": {"Bucket": arn, "Format": "CSV", "Prefix": "i"}}})
    s3.put_bucket_notification_configuration(Bucket="b", NotificationConfiguration={"QueueConfigurations": [
        {"Id": "q", "QueueArn": "arn:aws:sqs:r:111122223333:q", "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"],
         "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "a"}, {"Name": "suffix", "Value": "z"}]}}}]})
    s3.put_bucket_website(Bucket="b", WebsiteConfiguration={"RedirectAllRequestsTo": {"HostName": "h", "Protocol": "https"}})
    s3.put_bucket_versioning(Bucket="b", VersioningConfiguration={"Status": "Suspended"})
    s3.put_object_retention(Bucket="b", Key="k", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": WHEN})
    s3.create_bucket(Bucket="b", CreateBucketConfiguration={"LocationConstraint": "r", "Tags": [{"Key": "a", "Value": "b"}]})
    for number, body in enumerate(made):
        put("xml", f"whole-{number}", body)


def others():
    """Requests to services of another protocol."""
    for service, call in (("ec2", "describe_regions"), ("sts", "get_caller_identity"), ("iam", "list_users")):
        session = botocore.session.get_session()
        session.set_credentials(KEY, SECRET)
        made = session.create_client(service, region_name="us-east-1", endpoint_url="https://cloud.example.com")

        def send(request, service=service, **_):
            put("signature", service, lines(request)[0])
            reply = AWSResponse(request.url, 200, {}, None)
            reply._content = b"<a><GetCallerIdentityResult/><ListUsersResult/></a>"
            return reply

        made.meta.events.register("before-send", send)
        getattr(made, call)()


def presigned():
    for signature in ("s3v4", "s3"):
        s3 = client(signature=signature)
        url = s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a k", "VersionId": "null"})
        put("signature", f"url-{signature}", f"GET /{url.split('/', 3)[3]}\nhost:{url.split('/')[2]}\n".encode())
        form = s3.generate_presigned_post("bucket", "a/${filename}", {"acl": "private"}, [{"acl": "private"},
                                          ["content-length-range", 1, 10], ["starts-with", "$x-amz-meta-a", ""]])
        parts = [f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in form["fields"].items()]
        parts.append('--b\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\ndata\r\n--b--\r\n')
        put("form", signature, b"\x07" + "".join(parts).encode())


def words(shape, found, seen):
    """The names that a shape has in XML and in headers, and the values that it lists."""
    if shape.name in seen:
        return
    seen.add(shape.name)
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            kind = {"header": "headers", "headers": "headers", "querystring": "query"}
            place = kind.get(member.serialization.get("location"), "xml")
            found[place].add(member.serialization.get("name", name))
            words(member, found, seen)
    elif shape.type_name == "list":
        found["xml"].add(shape.member.serialization.get("name", ""))
        words(shape.member, found, seen)
    elif getattr(shape, "enum", None):
        found["values"].update(shape.enum[:12])


def dictionaries():
    model = client().meta.service_model
    found, seen = {"xml": set(), "headers": set(), "query": set(), "values": set()}, set()
    for name in model.operation_names:
        operation = model.operation_model(name)
        found["query"].update(re.split("[?&]", operation.http["requestUri"])[1:])
        if operation.input_shape:
            words(operation.input_shape, found, seen)
    for target, entries in {
        "xml": [f"<{w}>" for w in found["xml"]] + [f"</{w}>" for w in found["xml"]] + list(found["values"]),
        "request": [f"\n{w.lower()}:" for w in found["headers"]] + [f"{w}=" for w in found["query"]]
        + list(found["values"]),
    }.items():
        quoted = sorted({e.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\x0a") for e in entries if e.strip("</>=")})
        text = "# Written by seeds.py.\n" + "".join(f'"{entry}"\n' for entry in quoted)
        (HERE / "dictionaries").mkdir(exist_ok=True)
        (HERE / "dictionaries" / f"{target}.dict").write_text(text)


if __name__ == "__main__":
    sdk()
    whole()
    others()
    presigned()
    dictionaries()
