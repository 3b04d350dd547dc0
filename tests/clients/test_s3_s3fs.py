"""s3fs: a bucket as a file system. What a program does with files is done to it, and to local files beside it."""

import os
import random
import subprocess
import time

import pytest

from s3_tools import MIB, environment, keys, noise, nothing_unfinished, program
from support import run

# Steps of the random workload, and the most that its file grows to.
STEPS = 120
FILE_BYTES_MAX = 12 * MIB
MOUNT_SECONDS_MAX = 20


@pytest.fixture
def mount(cloud, s3_bucket, tmp_path):
    """The bucket, mounted; anew each time it is called."""
    point, passwords = tmp_path / "mount", tmp_path / "passwords"
    point.mkdir()
    passwords.write_text("{AWS_ACCESS_KEY_ID}:{AWS_SECRET_ACCESS_KEY}\n".format(**cloud.environment))
    passwords.chmod(0o600)
    region = cloud.environment["AWS_DEFAULT_REGION"]
    options = f"url={cloud.endpoint},endpoint={region},use_path_request_style,passwd_file={passwords},multipart_size=5"
    mounted = []

    def unmount():
        if mounted:
            run("umount", point)
            mounted.pop().wait(timeout=MOUNT_SECONDS_MAX)

    def mount():
        unmount()
        log = open(tmp_path / "log", "ab")
        command = [program("s3fs"), s3_bucket, point, "-f", "-o", options]
        mounted.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment(cloud)))
        deadline = time.monotonic() + MOUNT_SECONDS_MAX
        while not os.path.ismount(point):
            assert mounted[0].poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        return point

    yield mount
    # A test that failed may have files open still.
    if mounted:
        run("umount", "--lazy", point)
        mounted[0].terminate()
        mounted[0].wait(timeout=MOUNT_SECONDS_MAX)


def test_files_and_directories(s3, s3_bucket, mount):
    root = mount()
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/f").write_text("hello")
    with open(root / "a/b/f", "a") as file:
        file.write(", world")
    os.rename(root / "a/b/f", root / "a/b/g ü+&")
    os.rename(root / "a", root / "c")
    # Open: what s3fs 1.90 truncates by its name it fills with zeros, without asking Walrus what was there.
    with open(root / "c/b/g ü+&", "r+b") as file:
        os.ftruncate(file.fileno(), 5)
    os.symlink("c/b", root / "link")
    big = noise(11 * MIB + 3)
    (root / "big").write_bytes(big)
    os.chmod(root / "big", 0o640)
    os.utime(root / "big", (1e9, 1e9))
    os.rename(root / "big", root / "c/big")
    with pytest.raises(OSError):
        os.rmdir(root / "c")
    with pytest.raises(FileNotFoundError):
        (root / "absent").read_bytes()

    # As another machine would see it.
    root = mount()
    assert sorted(os.listdir(root)) == ["c", "link"] and sorted(os.listdir(root / "c")) == ["b", "big"]
    assert (root / "link/g ü+&").read_text() == "hello"
    assert (root / "c/big").read_bytes() == big
    told = os.stat(root / "c/big")
    assert (told.st_mode & 0o777, told.st_mtime, told.st_size) == (0o640, 1e9, len(big))
    assert s3.head_object(Bucket=s3_bucket, Key="c/big")["ETag"].endswith('-2"'), "it was sent in parts"
    # What others put in the bucket are files and directories too.
    s3.put_object(Bucket=s3_bucket, Key="other/x", Body=b"theirs")
    assert (root / "other/x").read_bytes() == b"theirs"
    assert os.listdir(root / "other") == ["x"]

    for name in ("c/b/g ü+&", "c/big", "other/x"):
        (root / name).unlink()
    for name in ("c/b", "c"):
        os.rmdir(root / name)
    (root / "link").unlink()
    assert set(keys(s3, s3_bucket)) <= {"other/"}
    nothing_unfinished(s3, s3_bucket)


def test_random_reads_writes_and_truncations(s3, s3_bucket, mount, tmp_path):
    """As fsx does it: the same steps on a file there and on one here, which are compared at each. (What was
    written to and is truncated through the same descriptor, s3fs 1.90 reads at its old length: it is opened anew.)"""
    root, steps = mount(), random.Random(20261121)
    here = os.open(tmp_path / "here", os.O_RDWR | os.O_CREAT)
    there = os.open(root / "there", os.O_RDWR | os.O_CREAT)
    size = 0
    for step in range(STEPS):
        what = steps.choice(["read", "read", "write", "write", "write", "append", "truncate", "sync", "reopen"])
        at = size if what == "append" else steps.randrange(FILE_BYTES_MAX)
        if what in ("write", "append"):
            data = noise(min(steps.choice([1, 4096, 70_001, 3 * MIB]), FILE_BYTES_MAX - at), step)
            for file in (here, there):
                assert os.pwrite(file, data, at) == len(data)
            if data:
                size = max(size, at + len(data))
        elif what == "truncate":
            size = at
            os.close(there)
            there = os.open(root / "there", os.O_RDWR)
            for file in (here, there):
                os.ftruncate(file, size)
            os.close(there)
            there = os.open(root / "there", os.O_RDWR)
        elif what == "sync":
            os.fsync(there)
        elif what == "reopen":
            os.close(there)
            if step % 4 == 0:
                root = mount()
            there = os.open(root / "there", os.O_RDWR)
        from_ = min(at, max(size - 1, 0))
        assert os.pread(here, 100_000, from_) == os.pread(there, 100_000, from_), (step, what, at)
        assert os.fstat(there).st_size == size, (step, what)
    os.close(there)
    whole = os.pread(here, FILE_BYTES_MAX, 0)
    os.close(here)
    assert s3.get_object(Bucket=s3_bucket, Key="there")["Body"].read() == whole
    assert (mount() / "there").read_bytes() == whole
