"""Several nodes and zones: guests on different hosts in one network, and what is left of it when a part is killed.

The tests share a cluster and two guests, and run in this order.
"""

import os
import signal

import botocore.exceptions
import pytest
from conftest import NODES, until
from support import run

# What a guest's SSH server says first.
GREETING = "bash -c 'head -c 4 </dev/tcp/{}/22'"


def kill_hard(cluster, service):
    """Kills the first process of a container from outside, as a crash would: no order of Docker's."""
    os.kill(int(cluster.inspect(service, ".State.Pid")), signal.SIGKILL)


def test_three_nodes_in_two_zones_are_ready(cluster):
    status = cluster.status()
    assert {node["id"]: (node["zone"], node["state"]) for node in status["nodes"]} == {n: (z, "ready") for n, z in NODES.items()}
    assert sorted((s["role"], s["state"]) for s in status["services"]) == [(r, "ready") for r in ("cloud", "cluster", "cluster", "walrus")]
    zones = cluster.client("ec2").describe_availability_zones()["AvailabilityZones"]
    assert {zone["ZoneName"]: zone["State"] for zone in zones} == {"local-1a": "available", "local-1b": "available"}
    for service in ("postgres", "cloud", "walrus", "cluster-a", "cluster-b", *NODES):
        until(f"{service} is healthy", lambda service=service: cluster.healthy(service))
    # Another `up` changes nothing.
    before = cluster.inspect("node-a1", ".Id")
    cluster.up()
    assert cluster.inspect("node-a1", ".Id") == before
    # No node reaches the database: it is on a network of its own.
    assert cluster.inside("node-a1", "getent", "hosts", "postgres", check=False).returncode != 0


def test_guests_of_one_subnet_run_on_different_nodes(cluster, pair):
    assert [guest.node for guest in pair] == ["node-a1", "node-a2"]
    assert len({guest.describe()["SubnetId"] for guest in pair}) == 1
    for guest in pair:
        assert guest.ssh("id -un") == "ec2-user"
        assert any(guest.id in domain for domain in cluster.traces(guest.node)["domains"])
        console = guest.ec2.get_console_output(InstanceId=guest.id).get("Output", "")
        assert "login:" in console or "SSH HOST KEY FINGERPRINTS" in console, console
    cluster.mallee("check")


def test_guests_on_two_nodes_meet_as_their_group_allows(cluster, group, pair):
    one, other = pair
    ec2 = cluster.client("ec2")
    # Open to all by the group: it is the overlay that carries this.
    assert one.ssh(f"timeout 10 {GREETING.format(other.private)}") == "SSH-"
    assert not one.reaches(other.private)
    ping = {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ping])
    for here, there in ((one, other), (other, one)):
        until("the group lets pings in", lambda here=here, there=there: here.reaches(there.private))
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[ping])
    until("the group keeps pings out", lambda: not one.reaches(other.private))
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ping])
    until("the group lets pings in again", lambda: one.reaches(other.private))
    for here, there in ((one, other), (other, one)):
        assert here.ssh("/usr/sbin/imds meta-data/instance-id") == here.id
        name = there.describe()["PrivateDnsName"]
        assert there.private in here.ssh(f"nslookup {name}")
        assert here.reaches(name)
        # Inside the VPC a public name is the private address, on whatever node.
        assert there.private in here.ssh(f"nslookup {there.describe()['PublicDnsName']}")


def test_an_elastic_address_is_reached_from_everywhere(cluster, pair):
    ec2 = cluster.client("ec2")
    allocation = ec2.allocate_address()
    address = allocation["PublicIp"]
    greeting = f"timeout 5 {GREETING.format(address)}"
    outside = ["run", "--rm", "--network", f"{cluster.project}_cluster", cluster.image, "sh", "-c", greeting]
    # Another node, a stranger on the network, this machine, and a guest on another node.
    ways = {
        "node": lambda: cluster.inside("node-b1", "sh", "-c", greeting, check=False).stdout,
        "stranger": lambda: cluster.docker(*outside, check=False).stdout,
        "machine": lambda: run("sh", "-c", greeting, check=False).stdout,
        "guest": lambda: next(guest for guest in pair if guest is not holder).ssh(greeting, check=False),
    }
    assert ways["stranger"]() == "", "the address is nobody's yet"
    for holder in pair:
        # The second time it moves to the other node.
        ec2.associate_address(AllocationId=allocation["AllocationId"], InstanceId=holder.id)
        for way in ways:
            until(f"{holder.node} answers a {way}", lambda way=way: ways[way]() == "SSH-")
        assert holder.ssh("/usr/sbin/imds meta-data/public-ipv4") == address
    ec2.disassociate_address(AssociationId=ec2.describe_addresses()["Addresses"][0]["AssociationId"])
    until("the address is nobody's again", lambda: ways["stranger"]() == "")
    ec2.release_address(AllocationId=allocation["AllocationId"])
    for holder in pair:
        until("the automatic address is back", lambda holder=holder: holder.describe().get("PublicIpAddress"))


@pytest.mark.parametrize("service", ["postgres", "walrus", "cluster-a"])
def test_a_crashed_tier_comes_back_by_itself_with_its_data(cluster, pair, service):
    restarts = int(cluster.inspect(service, ".RestartCount"))
    kill_hard(cluster, service)
    until(f"{service} was started again", lambda: int(cluster.inspect(service, ".RestartCount")) == restarts + 1)
    until(f"{service} is healthy", lambda: cluster.healthy(service))
    until("the cloud is whole", lambda: cluster.mallee("status", "--wait", "--timeout", "5", check=False).returncode == 0)
    assert cluster.mallee("image", "tiny").stdout.startswith("ami-")
    assert [guest.describe()["State"]["Name"] for guest in pair] == ["running"] * 2
    until("nothing differs", lambda: cluster.mallee("check", check=False).returncode == 0)


def test_the_database_ends_in_order_although_clients_are_connected(cluster):
    cluster.docker("stop", cluster.container("postgres"))
    assert cluster.inspect("postgres", ".State.ExitCode") == "0"
    cluster.docker("start", cluster.container("postgres"))
    until("the database is back", lambda: cluster.healthy("postgres"))
    until("the cloud is whole", lambda: cluster.mallee("status", "--wait", "--timeout", "5", check=False).returncode == 0)


def test_without_the_cloud_controller_guests_go_on(cluster, pair):
    one, other = pair
    boots = [guest.boot() for guest in pair]
    address = one.describe()["PublicIpAddress"]
    name = other.describe()["PrivateDnsName"]
    cluster.docker("kill", cluster.container("cloud"))
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        one.describe()
    ssh = ["ssh", "-i", "/root/guest.pem", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", f"ec2-user@{address}"]
    asked = f"sudo ping -c 2 -W 2 {name}; /usr/sbin/imds meta-data/instance-id"
    heard = cluster.inside(one.node, *ssh, asked).stdout
    assert "2 packets received" in heard and one.id in heard
    # A node comes back meanwhile; Docker knows no address of `cloud`.
    cluster.docker("restart", cluster.container("node-b1"))
    until("the node is back", lambda: cluster.healthy("node-b1"))
    cluster.docker("start", cluster.container("cloud"))
    until("the API is back", lambda: cluster.healthy("cloud"))
    until("all is there again", lambda: cluster.mallee("status", "--wait", "--timeout", "5", check=False).returncode == 0)
    assert [guest.boot() for guest in pair] == boots
    until("nothing differs", lambda: cluster.mallee("check", check=False).returncode == 0)


def test_a_killed_node_is_told_as_such_and_comes_back_with_its_guest(cluster, pair):
    one, other = pair
    boot = other.boot()
    other.ssh("echo kept >kept; sync")
    cluster.docker("kill", cluster.container(other.node))
    ec2 = cluster.client("ec2")

    def system_status():
        statuses = ec2.describe_instance_status(InstanceIds=[one.id, other.id])["InstanceStatuses"]
        found = {status["InstanceId"]: status["SystemStatus"]["Status"] for status in statuses}
        return found[one.id], found[other.id]

    until("the node is shown as away", lambda: cluster.node_state(other.node) == "offline")
    until("its instance is shown as impaired", lambda: system_status() == ("ok", "impaired"))
    assert f"waiting for node {other.node}: offline" in cluster.mallee("explain", other.id).stdout
    # Disks are on their node: nothing is started twice elsewhere.
    assert other.id not in str(cluster.traces("node-a1")) + str(cluster.traces("node-b1"))
    assert not one.reaches(other.private)

    cluster.docker("start", cluster.container(other.node))
    until("the node is back", lambda: cluster.node_state(other.node) == "ready" and cluster.healthy(other.node))
    assert other.ssh("cat kept") == "kept"
    assert other.boot() != boot, "it lost its power"
    until("it is well again", lambda: system_status() == ("ok", "ok"))
    for here, there in ((one, other), (other, one)):
        until("both reach each other again", lambda here=here, there=there: here.reaches(there.private))
    until("nothing differs", lambda: cluster.mallee("check", check=False).returncode == 0)


def test_an_instance_is_stopped_and_started_on_its_node(cluster, pair):
    one, other = pair
    boot = one.boot()
    one.ec2.stop_instances(InstanceIds=[one.id])
    one.wait("stopped")
    assert not cluster.traces(one.node)["processes"]
    one.ec2.start_instances(InstanceIds=[one.id])
    one.wait("running")
    assert one.boot() != boot
    until("it is reached as before", lambda: other.reaches(one.private))


def test_guests_of_two_zones_meet_in_their_vpc(cluster, pair, launch):
    one, _ = pair
    (far,) = launch(1, Placement={"AvailabilityZone": "local-1b"})
    assert far.node == "node-b1" and far.describe()["SubnetId"] != one.describe()["SubnetId"]
    for here, there in ((one, far), (far, one)):
        until("they reach each other", lambda here=here, there=there: here.reaches(there.private))
        assert there.private in here.ssh(f"nslookup {there.describe()['PrivateDnsName']}")
    far.ec2.terminate_instances(InstanceIds=[far.id])
    far.wait("terminated")


def test_of_terminated_instances_nothing_is_left(cluster, pair):
    ec2 = cluster.client("ec2")
    ec2.terminate_instances(InstanceIds=[guest.id for guest in pair])
    for guest in pair:
        guest.wait("terminated")
    for node in NODES:
        until(f"{node} holds nothing", lambda node=node: not any(cluster.traces(node).values()))
    cluster.mallee("check")


def test_services_whose_volumes_are_lost_join_again(cluster):
    lost = ["walrus", "cluster-b", "node-b1"]
    kept = {service: cluster.inspect(service, ".State.StartedAt") for service in ("cloud", "cluster-a", "node-a1", "node-a2")}
    for service in lost:
        cluster.docker("rm", "--force", cluster.container(service))
        cluster.docker("volume", "rm", f"{cluster.project}_{service}")
    cluster.up()
    for service in lost:
        until(f"{service} is healthy", lambda service=service: cluster.healthy(service))
    # New tokens disturb nobody who has joined.
    assert {service: cluster.inspect(service, ".State.StartedAt") for service in kept} == kept
