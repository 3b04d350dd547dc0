"""rclone: sync, check, move, uploads in parts, copies within Walrus, and its own `test` commands."""

import json
import urllib.request

import pytest

from s3_tools import MIB, keys, noise, nothing_unfinished, plant, tool, tree

# AWS's defaults, but parts small enough for small files.
REMOTE = {
    "RCLONE_CONFIG_W_TYPE": "s3",
    "RCLONE_CONFIG_W_PROVIDER": "Other",
    "RCLONE_CONFIG_W_ENV_AUTH": "true",
    "RCLONE_CONFIG_W_CHUNK_SIZE": "5M",
    "RCLONE_CONFIG_W_UPLOAD_CUTOFF": "6M",
    "RCLONE_CONFIG_W_COPY_CUTOFF": "6M",
    "RCLONE_CONFIG": "/dev/null",
}


@pytest.fixture
def rclone(cloud):
    remote = {"RCLONE_CONFIG_W_ENDPOINT": cloud.endpoint, "RCLONE_CONFIG_W_REGION": cloud.environment["AWS_DEFAULT_REGION"]}
    return tool(cloud, "rclone", **REMOTE, **remote)


def test_trees_are_the_same_after_sync_copy_and_move(s3, s3_bucket, rclone, tmp_path):
    source, there = plant(tmp_path / "source"), f"w:{s3_bucket}/there"
    rclone("sync", source, there)
    rclone("check", source, there)
    rclone("check", "--download", source, there)
    listed = rclone("lsf", "-R", "--files-only", there).stdout.splitlines()
    assert sorted(listed) == sorted(tree(source))
    assert s3.head_object(Bucket=s3_bucket, Key="there/large.bin")["ETag"].endswith('-3"'), "it was sent in parts"
    # rclone keeps times and the MD5 of what was sent in parts as metadata.
    for entry in json.loads(rclone("lsjson", "--hash", "-R", "--files-only", there).stdout):
        assert entry["Hashes"]["md5"] == tree(source)[entry["Path"]], entry
    assert rclone("sync", "-v", source, there).stderr.count("Copied") == 0, "nothing is left to send"

    # One is new, one changed, one gone.
    (source / "new").write_bytes(noise(10))
    (source / "deep/a/b/c").write_bytes(noise(1001))
    (source / "empty").unlink()
    told = rclone("sync", "-v", source, there).stderr
    assert told.count("Copied (new)") == 1 and told.count("Copied (replaced existing)") == 1, told
    assert told.count(": Deleted") == 1, told
    rclone("check", source, there)

    # Within Walrus: a copy in parts and in one piece, then a move, without a byte through here.
    told = rclone("copy", "-v", there, f"w:{s3_bucket}/copied").stderr
    assert told.count("Copied (server-side copy)") == 5, told
    rclone("check", source, f"w:{s3_bucket}/copied")
    rclone("move", f"w:{s3_bucket}/copied", f"w:{s3_bucket}/moved", "--delete-empty-src-dirs")
    rclone("check", source, f"w:{s3_bucket}/moved")
    assert keys(s3, s3_bucket, "copied/") == {}
    rclone("moveto", f"w:{s3_bucket}/moved/deep/ü +&=%41;x", f"w:{s3_bucket}/moved/?#%2F ~")
    assert keys(s3, s3_bucket, "moved/?")["moved/?#%2F ~"] == 70_000

    back = tmp_path / "back"
    rclone("copy", there, back)
    assert tree(back) == tree(source)
    rclone("touch", "-t", "2001-02-03T04:05:06", f"{there}/new")
    assert "2001-02-03 04:05:06" in rclone("lsl", f"{there}/new").stdout
    rclone("purge", there)
    assert keys(s3, s3_bucket, "there/") == {}
    nothing_unfinished(s3, s3_bucket)


def test_streams_ranges_links_and_unfinished_uploads(s3, s3_bucket, rclone):
    data = noise(12 * MIB + 1)
    # `run` hands texts on; bytes go through a file.
    rclone("rcat", f"w:{s3_bucket}/stream", input=data.hex())
    assert rclone("cat", f"w:{s3_bucket}/stream").stdout == data.hex()
    assert rclone("cat", "--offset", "9000000", "--count", "100", f"w:{s3_bucket}/stream").stdout == data.hex()[9_000_000:9_000_100]
    assert rclone("cat", "--tail", "7", f"w:{s3_bucket}/stream").stdout == data.hex()[-7:]
    link = rclone("link", "--expire", "1m", f"w:{s3_bucket}/stream").stdout.strip()
    with urllib.request.urlopen(link, timeout=20) as reply:
        assert reply.read().decode() == data.hex()
    assert json.loads(rclone("size", "--json", f"w:{s3_bucket}").stdout) == {"count": 1, "bytes": 2 * len(data), "sizeless": 0}

    upload = s3.create_multipart_upload(Bucket=s3_bucket, Key="left")["UploadId"]
    s3.upload_part(Bucket=s3_bucket, Key="left", UploadId=upload, PartNumber=1, Body=b"x")
    listed = json.loads(rclone("backend", "list-multipart-uploads", f"w:{s3_bucket}").stdout)
    assert [entry["UploadId"] for entry in listed[s3_bucket]] == [upload]
    rclone("backend", "cleanup", f"w:{s3_bucket}", "-o", "max-age=0s")
    nothing_unfinished(s3, s3_bucket)


def test_versions(s3, s3_bucket, rclone, tmp_path):
    s3.put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    try:
        for text in ("one", "two!"):
            s3.put_object(Bucket=s3_bucket, Key="k.txt", Body=text.encode())
        s3.delete_object(Bucket=s3_bucket, Key="k.txt")
        assert rclone("lsf", f"w:{s3_bucket}").stdout == ""
        sizes = rclone("lsf", "--s3-versions", "--format", "s", f"w:{s3_bucket}").stdout.split()
        assert sorted(sizes) == ["3", "4"]
    finally:
        rows = s3.list_object_versions(Bucket=s3_bucket)
        for row in rows.get("Versions", []) + rows.get("DeleteMarkers", []):
            s3.delete_object(Bucket=s3_bucket, Key=row["Key"], VersionId=row["VersionId"])


def test_its_own_tests(s3, s3_bucket, rclone, tmp_path):
    # Go reads no listing with control characters in it until it is asked for in URL encoding; rclone does that when its
    # retries are used up, of which ten take more than half a minute.
    few = ["--low-level-retries", "2"]
    told = rclone("test", "info", *few, "--all", f"w:{s3_bucket}/info")
    lines = (told.stdout + told.stderr).splitlines()
    for expected in ("canWriteUnnormalized = true", "canReadUnnormalized   = true", "canReadRenormalized   = false", "canStream = true"):
        assert expected in lines, lines
    assert lines[lines.index("stringNeedsEscaping = []rune{") + 1].strip() == "'/', '\\x00'", "every other character is kept"
    [longest] = [line for line in lines if line.startswith("maxFileLength = ") and "1 byte" in line]
    assert int(longest.split()[2]) == 1024 - len("info/"), lines
    source = tmp_path / "made"
    rclone("test", "makefiles", source, "--files", "300", "--max-file-size", "20k", "--seed", "7")
    rclone("sync", source, f"w:{s3_bucket}/made", "--transfers", "16", "--checkers", "16")
    rclone("check", source, f"w:{s3_bucket}/made", "--checkers", "16")
    assert len(keys(s3, s3_bucket, "made/")) == len(tree(source))
    rclone("test", "histogram", f"w:{s3_bucket}/made")
    rclone("test", "memory", f"w:{s3_bucket}/made")
    rclone("delete", *few, f"w:{s3_bucket}")
