"""Real guests, as a user meets them. One guest lives through most of this file: emulation is slow."""

import time

from support import run


def test_a_guest_from_launch_to_nothing(cloud, start, tmp_path):
    script = tmp_path / "user-data"
    script.write_text("#!/bin/sh\necho from-user-data > /var/tmp/user-data-ran\n")
    guest = start("--user-data", f"file://{script}")

    # Logged in with the key, as the user of the README; metadata, name and user data are the instance's own.
    assert guest.ssh("id -un") == "ec2-user"
    assert guest.ssh("/usr/sbin/imds meta-data/instance-id") == guest.id
    private = guest.describe("PrivateIpAddress")
    assert private in guest.ssh("ip -4 addr show")
    deadline = time.monotonic() + 120
    while guest.ssh("cat /var/tmp/user-data-ran 2>/dev/null", check=False) != "from-user-data":
        assert time.monotonic() < deadline, "the user-data script did not run"
        time.sleep(1)
    console = cloud.aws("ec2", "get-console-output", "--instance-id", guest.id, "--query", "Output", "--output", "text")
    assert "SSH HOST KEY FINGERPRINTS" in console

    # kill -9 of the whole cloud: the guest does not notice; the next start adopts it.
    guest.ssh("echo alive > /var/tmp/mark")
    boot_id = guest.ssh("cat /proc/sys/kernel/random/boot_id")
    cloud.kill()
    assert guest.ssh("cat /proc/sys/kernel/random/boot_id") == boot_id, "the guest died with the cloud"
    cloud.start()
    guest.wait("running")
    assert guest.ssh("cat /proc/sys/kernel/random/boot_id") == boot_id, "the guest was restarted by the next start"
    assert guest.ssh("cat /var/tmp/mark") == "alive"
    cloud.mallee("check")

    # Ctrl-C leaves it running too.
    cloud.stop()
    assert guest.ssh("cat /proc/sys/kernel/random/boot_id") == boot_id
    cloud.start()

    # Reboot: the same disk, another boot.
    cloud.aws("ec2", "reboot-instances", "--instance-ids", guest.id)
    deadline = time.monotonic() + 300
    while guest.ssh("cat /proc/sys/kernel/random/boot_id") == boot_id:
        assert time.monotonic() < deadline, "the guest did not reboot"
        time.sleep(1)
    assert guest.ssh("cat /var/tmp/mark") == "alive"

    # Stop and start: the disk stays, the private address stays, the public one is new.
    cloud.aws("ec2", "stop-instances", "--instance-ids", guest.id)
    guest.wait("stopped")
    assert guest.describe("PublicIpAddress") == "None"
    cloud.aws("ec2", "start-instances", "--instance-ids", guest.id)
    guest.wait("running")
    guest.address = guest.describe("PublicIpAddress")
    assert guest.ssh("cat /var/tmp/mark") == "alive"
    assert guest.describe("PrivateIpAddress") == private

    # Security groups are enforced: revoke SSH, and nobody gets in.
    group = guest.describe("SecurityGroups[0].GroupId")
    rule = ["--group-id", group, "--protocol", "tcp", "--port", "22", "--cidr", "192.0.0.2/32"]
    cloud.aws("ec2", "revoke-security-group-ingress", *rule)
    try:
        guest.until_port(False, "the port is open though the rule is revoked")
    finally:
        # The group is that of the other tests' guests too.
        cloud.aws("ec2", "authorize-security-group-ingress", *rule)
    assert guest.ssh("true") == ""

    # A QEMU that dies is brought back: same instance, same disk.
    pid = run("pgrep", "-f", f"guest=mallee-{guest.id}").stdout.split()[0]
    run("kill", "-9", pid)
    assert guest.ssh("cat /var/tmp/mark") == "alive"

    # Terminate: nothing is left of it on the host, nor in the books.
    cloud.aws("ec2", "terminate-instances", "--instance-ids", guest.id)
    guest.wait("terminated")
    deadline = time.monotonic() + 60
    traces = cloud.traces()
    while (traces["domains"] or traces["taps"] or traces["disks"]) and time.monotonic() < deadline:
        time.sleep(0.5)
        traces = cloud.traces()
    assert not traces["domains"] and not traces["taps"] and not traces["disks"], traces
    cloud.mallee("check")
    assert "terminated" in cloud.mallee("explain", guest.id).stdout


def test_two_guests_reach_each_other_by_group(cloud, start):
    one, two = start(), start()
    address = two.describe("PrivateIpAddress")
    # `running` says that the domain runs; a login says that the guest has its address.
    assert two.ssh("true") == ""
    # Members of the default group may talk to each other; the reply names the peer's own address.
    assert "0% packet loss" in one.ssh(f"sudo ping -c 3 -w 60 {address}")
    name = one.ssh(f"nslookup ip-{address.replace('.', '-')}.local.compute.internal | tail -n 4", check=False)
    assert address in name
    for guest in (one, two):
        cloud.aws("ec2", "terminate-instances", "--instance-ids", guest.id)
    for guest in (one, two):
        guest.wait("terminated")
