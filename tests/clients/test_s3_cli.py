"""The AWS CLI's `aws s3` and `aws s3api`."""

import json
import sys
import urllib.request
from pathlib import Path

import pytest

from s3_tools import MIB, SECONDS_MAX, environment, keys, noise, nothing_unfinished, plant, program, tree
from support import run

# Parts small enough for small files.
SETTINGS = "[default]\ns3 =\n  multipart_threshold = 6MB\n  multipart_chunksize = 5MB\n  addressing_style = path\n"


@pytest.fixture
def aws(cloud, tmp_path):
    (tmp_path / "config").write_text(SETTINGS)
    known = environment(cloud, AWS_CONFIG_FILE=str(tmp_path / "config"))
    binary = Path(sys.executable).parent / "aws"

    def aws(*arguments, check=True, **options):
        return run(binary, *arguments, check=check, env=known, timeout=SECONDS_MAX, **options)

    return aws


def test_sync_both_ways(s3, s3_bucket, aws, tmp_path):
    source, there = plant(tmp_path / "source"), f"s3://{s3_bucket}/tree"
    aws("s3", "sync", source, there)
    assert set(keys(s3, s3_bucket)) == {f"tree/{name}" for name in tree(source)}
    assert s3.head_object(Bucket=s3_bucket, Key="tree/large.bin")["ETag"].endswith('-3"'), "it was sent in parts"
    assert aws("s3", "sync", source, there).stdout == "", "nothing is left to send"
    # Gone here: stays there, but for --delete; what a pattern leaves out stays as it is.
    (source / "small.txt").unlink()
    (source / "deep/a/b/c").unlink()
    (source / "new").write_bytes(noise(1))
    aws("s3", "sync", source, there)
    assert "tree/small.txt" in keys(s3, s3_bucket)
    aws("s3", "sync", "--delete", "--exclude", "deep/*", source, there)
    assert set(keys(s3, s3_bucket)) == {f"tree/{name}" for name in tree(source)} | {"tree/deep/a/b/c"}
    # From bucket to bucket, and back to files.
    aws("s3", "sync", there, f"s3://{s3_bucket}/second")
    back = tmp_path / "back"
    back.mkdir()
    (back / "stray").write_text("goes")
    aws("s3", "sync", "--delete", "--exact-timestamps", f"s3://{s3_bucket}/second", back)
    (source / "deep/a/b/c").write_bytes(noise(1000))
    assert tree(back) == tree(source)
    told = aws("s3", "ls", "--recursive", "--summarize", f"{there}/").stdout
    sizes = keys(s3, s3_bucket, "tree/").values()
    assert f"Total Objects: {len(sizes)}" in told and f"Total Size: {sum(sizes)}" in told, told
    aws("s3", "rm", "--recursive", "--exclude", "*", "--include", "*.bin", there)
    assert "tree/large.bin" not in keys(s3, s3_bucket) and "tree/new" in keys(s3, s3_bucket)
    assert "BucketNotEmpty" in aws("s3", "rb", f"s3://{s3_bucket}", check=False).stderr
    nothing_unfinished(s3, s3_bucket)


def test_copies_moves_and_streams(s3, s3_bucket, aws, tmp_path):
    large, url = tmp_path / "large", f"s3://{s3_bucket}"
    large.write_bytes(noise(11 * MIB))
    with open(large, "rb") as source:
        aws("s3", "cp", "-", f"{url}/stream", "--expected-size", str(11 * MIB), "--content-type", "text/plain", stdin=source)
    assert s3.head_object(Bucket=s3_bucket, Key="stream")["ContentType"] == "text/plain"
    # In parts from object to object (the CLI leaves the metadata behind then), or onto itself with other metadata.
    aws("s3", "cp", f"{url}/stream", f"{url}/copy ü+&")
    assert s3.head_object(Bucket=s3_bucket, Key="copy ü+&")["ETag"].endswith('-3"')
    aws("s3", "cp", f"{url}/stream", f"{url}/stream", "--metadata-directive", "REPLACE", "--metadata", "a=b")
    head = s3.head_object(Bucket=s3_bucket, Key="stream")
    assert head["Metadata"] == {"a": "b"} and head["ContentType"] == "binary/octet-stream"
    aws("s3", "mv", f"{url}/copy ü+&", tmp_path / "moved")
    assert (tmp_path / "moved").read_bytes() == large.read_bytes()
    aws("s3", "mv", tmp_path / "moved", f"{url}/folder/")
    assert set(keys(s3, s3_bucket)) == {"stream", "folder/moved"} and not (tmp_path / "moved").exists()
    aws("s3", "mv", "--recursive", f"{url}/folder", f"{url}/other")
    assert set(keys(s3, s3_bucket)) == {"stream", "other/moved"}
    # Out again through a pipe.
    (tmp_path / "text").write_text("a line\n" * 1000)
    aws("s3", "cp", tmp_path / "text", f"{url}/text")
    assert aws("s3", "cp", f"{url}/text", "-").stdout == "a line\n" * 1000
    link = aws("s3", "presign", f"{url}/other/moved", "--expires-in", "60").stdout.strip()
    got = tmp_path / "got"
    run(program("curl"), "--silent", "--fail", "--range", "1000000-1999999", "--output", got, link)
    assert got.read_bytes() == large.read_bytes()[1_000_000:2_000_000]
    with urllib.request.urlopen(link, timeout=20) as reply:
        assert reply.read() == large.read_bytes()
    forged = run(program("curl"), "--silent", link.replace("moved", "other")).stdout
    assert "SignatureDoesNotMatch" in forged
    nothing_unfinished(s3, s3_bucket)


def test_a_bucket_with_all_that_is_in_it(s3, aws, tmp_path):
    name, source = "cli-made-and-gone", plant(tmp_path / "source")
    aws("s3", "mb", f"s3://{name}")
    assert name in aws("s3", "ls").stdout
    aws("s3", "cp", "--recursive", "--quiet", source, f"s3://{name}/")
    told = aws("s3", "ls", f"s3://{name}/").stdout
    assert "PRE deep/" in told and "small.txt" in told
    aws("s3", "rb", "--force", f"s3://{name}")
    assert name not in aws("s3", "ls").stdout
    assert "NoSuchBucket" in aws("s3", "ls", f"s3://{name}", check=False).stderr


def test_calls_of_the_api(s3_bucket, aws, tmp_path):
    def api(operation, *arguments):
        out = aws("s3api", operation, "--bucket", s3_bucket, *arguments).stdout
        return json.loads(out) if out else None

    body = tmp_path / "body"
    body.write_bytes(noise(100_000))
    put = api("put-object", "--key", "k", "--body", body, "--checksum-algorithm", "SHA256", "--metadata", "x=y")
    assert put["ChecksumSHA256"]
    got = api("get-object", "--key", "k", "--range", "bytes=10-19", tmp_path / "got")
    assert got["ContentRange"] == "bytes 10-19/100000" and (tmp_path / "got").read_bytes() == noise(100_000)[10:20]
    head = api("head-object", "--key", "k", "--checksum-mode", "ENABLED")
    assert head["ChecksumSHA256"] == put["ChecksumSHA256"] and head["Metadata"] == {"x": "y"}
    again = aws("s3api", "put-object", "--bucket", s3_bucket, "--key", "k", "--if-none-match", "*", check=False)
    assert "PreconditionFailed" in again.stderr
    api("delete-objects", "--delete", json.dumps({"Objects": [{"Key": "k"}]}))
    gone = aws("s3api", "head-object", "--bucket", s3_bucket, "--key", "k", check=False)
    assert "404" in gone.stderr
