"""Clients that are not boto3, each unmodified and in its own program: Ansible, Apache Libcloud, the JavaScript SDK."""

import os
import sys
from pathlib import Path

import pytest
from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider

from support import run, wait

HERE = Path(__file__).parent
VENV = Path(sys.prefix)


@pytest.fixture
def environment(cloud):
    """What `mallee env` says, and nothing of AWS besides."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**others, **cloud.environment}


def play(cloud, environment, book, **more):
    run(
        VENV / "bin" / "ansible-playbook",
        "--extra-vars",
        f"ansible_python_interpreter={sys.executable}",
        HERE / "ansible" / book,
        env={
            **environment,
            **more,
            "ANSIBLE_COLLECTIONS_PATH": str(VENV / "ansible"),
            "ANSIBLE_HOME": str(cloud.state / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        },
        timeout=300,
    )


def test_ansible_makes_what_a_playbook_says_once(cloud, ec2, environment):
    play(cloud, environment, "compute.yml", SUBNET=ec2.describe_subnets()["Subnets"][0]["SubnetId"])


def test_ansible_vpc(cloud, ec2, environment):
    """A network with everything in it: a second run changes nothing, and nothing is left of it."""

    def everything():
        return {
            "vpcs": ec2.describe_vpcs()["Vpcs"],
            "subnets": ec2.describe_subnets()["Subnets"],
            "tables": ec2.describe_route_tables()["RouteTables"],
            "gateways": ec2.describe_internet_gateways()["InternetGateways"],
            "options": ec2.describe_dhcp_options()["DhcpOptions"],
            "addresses": ec2.describe_addresses()["Addresses"],
        }

    before = everything()
    play(cloud, environment, "vpc.yml")
    assert everything() == before


@pytest.mark.parametrize("program", ["compute.mjs", "storage.mjs"])
def test_javascript(environment, program):
    modules = Path(os.environ.get("MALLEE_NODE_MODULES", VENV / "javascript" / "node_modules"))
    assert modules.is_dir(), f"{modules} is missing: run 'deploy/install test'"
    # Modules are looked for beside the program.
    copy = modules.parent / program
    copy.write_bytes((HERE / "javascript" / program).read_bytes())
    run("node", copy, env=environment, timeout=120)


def test_libcloud_drives_an_instance_from_launch_to_end(cloud, ec2):
    # Libcloud knows AWS's regions only; a cloud accepts signatures for any.
    driver = get_driver(Provider.EC2)(
        cloud.environment["AWS_ACCESS_KEY_ID"],
        cloud.environment["AWS_SECRET_ACCESS_KEY"],
        secure=False,
        host="127.0.0.1",
        port=cloud.port,
        region="us-east-1",
        signature_version="4",
    )
    image = next(i for i in driver.list_images(ex_owner="self") if i.name == "tiny")
    size = next(s for s in driver.list_sizes() if s.id == "t3.nano")
    key = driver.create_key_pair("libcloud")
    assert key.private_key.startswith("-----BEGIN")
    node = driver.create_node(name="libcloud", image=image, size=size, ex_keyname="libcloud")
    try:
        [(running, addresses)] = driver.wait_until_running([node], wait_period=0.1, timeout=60)
        assert running.state == NodeState.RUNNING and addresses
        assert running.extra["key_name"] == "libcloud"
        assert driver.ex_describe_tags(resource=running) == {"Name": "libcloud"}
        assert driver.reboot_node(running)
        assert driver.ex_stop_node(running)
    finally:
        assert driver.destroy_node(node)
        assert driver.delete_key_pair(key)
    wait(ec2, "instance_terminated", [node.id])
