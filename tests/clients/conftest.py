"""A simulated cloud for the whole session."""

import pytest

from support import Cloud, wait


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
