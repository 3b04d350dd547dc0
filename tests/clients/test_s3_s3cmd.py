"""s3cmd, with signatures of version 4 and, where the cloud takes them, of version 2."""

import urllib.request

import pytest

from s3_tools import MIB, keys, nothing_unfinished, plant, tool, tree
from support import Cloud

SETTINGS = """[default]
access_key = {AWS_ACCESS_KEY_ID}
secret_key = {AWS_SECRET_ACCESS_KEY}
bucket_location = {AWS_DEFAULT_REGION}
host_base = 127.0.0.1:{port}
host_bucket = 127.0.0.1:{port}
use_https = False
signature_v2 = {v2}
progress_meter = False
"""


@pytest.fixture(scope="module")
def cloud():
    cloud = Cloud("--simulate", "1", "--allow-sigv2")
    yield cloud
    cloud.stop()
    cloud.directory.cleanup()


@pytest.fixture(params=["v4", "v2"])
def s3cmd(cloud, request, tmp_path):
    settings = tmp_path / "s3cfg"
    settings.write_text(SETTINGS.format(**cloud.environment, port=cloud.port, v2=request.param == "v2"))
    return tool(cloud, "s3cmd", "-c", settings)


def test_a_bucket_from_mb_to_rb(cloud, s3cmd, tmp_path, request):
    s3, name = cloud.client("s3"), "s3cmd-" + request.node.callspec.params["s3cmd"]
    url, source = f"s3://{name}", plant(tmp_path / "source")
    s3cmd("mb", url)
    s3cmd("sync", f"{source}/", f"{url}/tree/")
    assert set(keys(s3, name)) == {f"tree/{file}" for file in tree(source) if file != "empty"} | {"tree/empty"}
    assert "large.bin" in s3cmd("ls", "-r", url).stdout
    assert "upload:" not in s3cmd("sync", f"{source}/", f"{url}/tree/").stdout, "nothing is left to send"

    # In parts, with metadata and a type, under a name that has to be escaped.
    odd = f"{url}/ü large +&=%41?"
    header = ["--add-header=x-amz-meta-mine: yes", "-m", "text/x-mine", "--multipart-chunk-size-mb=5"]
    s3cmd("put", *header, source / "large.bin", odd)
    head = s3.head_object(Bucket=name, Key="ü large +&=%41?")
    assert head["ETag"].endswith('-3"') and head["ContentType"] == "text/x-mine" and head["Metadata"]["mine"] == "yes"
    told = s3cmd("info", odd).stdout
    assert "File size: 11534343" in told and "x-amz-meta-mine: yes" in told, told
    assert cloud.environment["AWS_DEFAULT_REGION"] in s3cmd("info", url).stdout
    s3cmd("get", odd, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == (source / "large.bin").read_bytes()

    # A download that broke off goes on.
    (tmp_path / "half").write_bytes((source / "large.bin").read_bytes()[: 4 * MIB])
    s3cmd("get", "--continue", odd, tmp_path / "half")
    assert (tmp_path / "half").read_bytes() == (source / "large.bin").read_bytes()

    s3cmd("cp", odd, f"{url}/copy")
    s3cmd("mv", f"{url}/copy", f"{url}/moved")
    s3cmd("modify", "--add-header=x-amz-meta-more: too", f"{url}/moved")
    assert s3.head_object(Bucket=name, Key="moved")["Metadata"].items() >= {"mine": "yes", "more": "too"}.items()
    assert "copy" not in keys(s3, name)
    # Its links are signed with version 2, whatever the setting.
    link = s3cmd("signurl", f"{url}/moved", "+60").stdout.strip()
    with urllib.request.urlopen(link, timeout=20) as reply:
        assert reply.read() == (source / "large.bin").read_bytes()

    # There and back, with what is gone on one side deleted on the other.
    (source / "small.txt").unlink()
    s3cmd("sync", "--delete-removed", f"{source}/", f"{url}/tree/")
    assert "tree/small.txt" not in keys(s3, name)
    back = tmp_path / "back"
    back.mkdir()
    (back / "stray").write_text("goes")
    s3cmd("sync", "--delete-removed", f"{url}/tree/", f"{back}/")
    assert tree(back) == tree(source)

    upload = s3.create_multipart_upload(Bucket=name, Key="left")["UploadId"]
    assert upload in s3cmd("multipart", url).stdout
    s3cmd("abortmp", f"{url}/left", upload)
    nothing_unfinished(s3, name)
    assert "not empty" in s3cmd("rb", url, check=False).stderr
    s3cmd("del", "-r", "--force", url)
    s3cmd("rb", url)
    assert name not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
