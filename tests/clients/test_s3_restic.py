"""restic: a repository in Walrus, from its first backup to the pruning of old ones."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3_tools import MIB, keys, noise, nothing_unfinished, plant, tool, tree


@pytest.fixture
def restic(cloud, s3_bucket, tmp_path):
    repository = f"s3:{cloud.endpoint}/{s3_bucket}/backups"
    settings = {"RESTIC_REPOSITORY": repository, "RESTIC_PASSWORD": "of the tests", "RESTIC_CACHE_DIR": str(tmp_path / "cache")}
    restic = tool(cloud, "restic", "--quiet", **settings)
    restic("init")
    return restic


def snapshots(restic):
    return json.loads(restic("snapshots", "--json").stdout)


def test_backups_come_back_and_old_ones_go(s3, s3_bucket, restic, tmp_path):
    source = plant(tmp_path / "source")
    restic("backup", source)
    first = tree(source)
    (source / "small.txt").unlink()
    (source / "more.bin").write_bytes(noise(3 * MIB, 1))
    with open(source / "large.bin", "r+b") as large:
        large.seek(5 * MIB)
        large.write(b"changed in the middle")
    restic("backup", source)
    assert restic("init", check=False).returncode != 0, "the repository is there already"
    restic("check", "--read-data")
    old, new = (snapshot["short_id"] for snapshot in snapshots(restic))
    restic("restore", old, "--target", tmp_path / "old")
    restic("restore", new, "--target", tmp_path / "new", "--verify")
    assert tree(tmp_path / "old" / source.relative_to("/")) == first
    assert tree(tmp_path / "new" / source.relative_to("/")) == tree(source)
    assert "1 new,     1 removed,     1 changed" in restic("diff", old, new).stdout

    before = sum(keys(s3, s3_bucket).values())
    restic("forget", "--keep-last", "1", "--prune", "--max-unused", "0")
    assert [snapshot["short_id"] for snapshot in snapshots(restic)] == [new]
    assert sum(keys(s3, s3_bucket).values()) < before, "what only the old one had is gone"
    restic("check", "--read-data")
    # A repository is read by those who list the old way too.
    restic("-o", "s3.list-objects-v1=true", "check")
    assert restic("list", "locks").stdout == ""
    nothing_unfinished(s3, s3_bucket)


def test_several_write_at_once(restic, tmp_path):
    sources = [tmp_path / f"source-{n}" for n in range(3)]
    for n, source in enumerate(sources):
        source.mkdir()
        (source / "data").write_bytes(noise(2 * MIB, n))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda source: restic("backup", source), sources))
    assert len(snapshots(restic)) == 3
    restic("check", "--read-data")
