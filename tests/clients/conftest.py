"""A simulated cloud for the whole session (with pytest-xdist: for each of its workers)."""

import os
import uuid

import pytest

from support import Cloud, wait

# The files that take longest, longest first: with several workers these begin, that none is left for the end.
LONG = (
    "s3_trail",
    "other_clients",
    "s3_replication_peers",
    "vpc_nat",
    "s3_replication_foreign",
    "s3_remote",
    "s3_lifecycle",
    "s3_replication",
    "s3_pgbackrest",
    "s3_logging",
    "s3_cli",
    "s3_notifications",
    "trails",
    "s3_inventory",
    "s3_restic",
)


def pytest_collection_modifyitems(items):
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = {f"test_{name}": n for n, name in enumerate(LONG)}
        items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session")
def cloud():
    cloud = Cloud("--simulate", "3")
    yield cloud
    cloud.stop()
    cloud.directory.cleanup()


@pytest.fixture(scope="session")
def ec2(cloud):
    return cloud.client("ec2")


@pytest.fixture(scope="session")
def image(cloud):
    return cloud.mallee("image", "tiny").stdout.strip()


@pytest.fixture
def launch(ec2, image):
    """Launches instances and terminates them afterwards."""
    launched = []

    def run(**options):
        parameters = {"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1, **options}
        reply = ec2.run_instances(**parameters)
        ids = [i["InstanceId"] for i in reply["Instances"]]
        launched.extend(ids)
        return reply

    yield run
    if launched:
        ec2.terminate_instances(InstanceIds=launched)
        wait(ec2, "instance_terminated", launched)


@pytest.fixture(scope="session")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture
def s3_bucket(cloud):
    """An empty bucket for one test; whatever is in it afterwards goes."""
    s3, name = cloud.client("s3"), f"clients-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    yield name
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        objects = [{"Key": o["Key"]} for o in page.get("Contents", [])]
        if objects:
            s3.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True})
    for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    s3.delete_bucket(Bucket=name)
