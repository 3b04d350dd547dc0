"""A real guest in a VPC of its user's own: what makes it reachable, one thing after the other."""

# What the host speaks to instances from, by IPv6 (docs/operations.md).
HOST6 = "fd6d:616c:6c66::1"


def test_a_guest_is_reached_by_address_gateway_and_route_together(cloud, start):
    def ec2(operation, *options, query=None):
        shown = ["--query", query, "--output", "text"] if query else []
        return cloud.aws("ec2", operation, *options, *shown)

    vpc = ec2("create-vpc", "--cidr-block", "10.50.0.0/16", query="Vpc.VpcId")
    subnet = ec2("create-subnet", "--vpc-id", vpc, "--cidr-block", "10.50.1.0/24", query="Subnet.SubnetId")
    in_vpc = ["--filters", f"Name=vpc-id,Values={vpc}"]
    group = ec2("describe-security-groups", *in_vpc, query="SecurityGroups[0].GroupId")
    # The host speaks to instances from this address (docs/operations.md).
    ec2("authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "22", "--cidr", "192.0.0.2/32")
    guest = start("--subnet-id", subnet)
    assert guest.describe("PrivateIpAddress").startswith("10.50.1.") and guest.address == "None"

    address, allocation = ec2("allocate-address", query="[PublicIp,AllocationId]").split()
    associate = ["--allocation-id", allocation, "--instance-id", guest.id]
    refused = cloud.aws("ec2", "associate-address", *associate, check=False)
    assert "Gateway.NotAttached" in refused.stderr
    gateway = ec2("create-internet-gateway", query="InternetGateway.InternetGatewayId")
    attached = ["--internet-gateway-id", gateway, "--vpc-id", vpc]
    ec2("attach-internet-gateway", *attached)
    association = ec2("associate-address", *associate, query="AssociationId")
    table = ec2("describe-route-tables", *in_vpc, query="RouteTables[0].RouteTableId")
    everywhere = ["--route-table-id", table, "--destination-cidr-block", "0.0.0.0/0"]
    ec2("create-route", *everywhere, "--gateway-id", gateway)
    guest.address = address
    assert guest.ssh("/usr/sbin/imds meta-data/public-ipv4") == address
    boot_id = guest.ssh("cat /proc/sys/kernel/random/boot_id")

    # The same by IPv6, which the running guest gets; what it has from the other gateway is one way only.
    ec2("associate-vpc-cidr-block", "--vpc-id", vpc, "--amazon-provided-ipv6-cidr-block")
    block = ec2("describe-vpcs", "--vpc-ids", vpc, query="Vpcs[0].Ipv6CidrBlockAssociationSet[0].Ipv6CidrBlock")
    part = ["--ipv6-cidr-block", block.replace("/56", "/64")]
    part = ec2("associate-subnet-cidr-block", "--subnet-id", subnet, *part, query="Ipv6CidrBlockAssociation.AssociationId")
    interface = guest.describe("NetworkInterfaces[0].NetworkInterfaceId")
    six = ec2("assign-ipv6-addresses", "--network-interface-id", interface, "--ipv6-address-count", "1", query="AssignedIpv6Addresses[0]")
    let = f'[{{"IpProtocol":"tcp","FromPort":22,"ToPort":22,"Ipv6Ranges":[{{"CidrIpv6":"{HOST6}/128"}}]}}]'
    ec2("authorize-security-group-ingress", "--group-id", group, "--ip-permissions", let)
    to_world = ["--route-table-id", table, "--destination-ipv6-cidr-block", "::/0"]
    ec2("create-route", *to_world, "--gateway-id", gateway)
    guest.ssh(f"sudo ip -6 addr replace {six}/128 dev eth0 && sudo ip -6 route replace default via fe80::1 dev eth0")
    guest.address = six
    assert guest.ssh("cat /proc/sys/kernel/random/boot_id") == boot_id, "logged in to by IPv6"
    assert "0% packet loss" in guest.ssh(f"sudo ping -6 -c 2 -w 30 {HOST6}")
    outward = ["--vpc-id", vpc]
    outward = ec2("create-egress-only-internet-gateway", *outward, query="EgressOnlyInternetGateway.EgressOnlyInternetGatewayId")
    ec2("replace-route", *to_world, "--egress-only-internet-gateway-id", outward)
    guest.until_port(False, "nobody begins anything by that gateway")
    guest.address = address
    assert "0% packet loss" in guest.ssh(f"sudo ping -6 -c 2 -w 30 {HOST6}")
    cloud.mallee("check")
    ec2("delete-route", *to_world)
    ec2("delete-egress-only-internet-gateway", "--egress-only-internet-gateway-id", outward)
    ec2("unassign-ipv6-addresses", "--network-interface-id", interface, "--ipv6-addresses", six)
    ec2("disassociate-subnet-cidr-block", "--association-id", part)

    ec2("delete-route", *everywhere)
    guest.until_port(False, "without a route nothing comes back")
    ec2("create-route", *everywhere, "--gateway-id", gateway)
    guest.until_port(True, "the route is there again")
    ec2("disassociate-address", "--association-id", association)
    guest.until_port(False, "the address is nobody's")
    ec2("associate-address", *associate)
    assert guest.ssh("cat /proc/sys/kernel/random/boot_id") == boot_id, "the guest noticed nothing"
    # The address is the account's: it stays through a stop and a start.
    ec2("stop-instances", "--instance-ids", guest.id)
    guest.wait("stopped")
    assert guest.describe("PublicIpAddress") == address
    ec2("start-instances", "--instance-ids", guest.id)
    guest.wait("running")
    assert guest.ssh("cat /proc/sys/kernel/random/boot_id") != boot_id
    cloud.mallee("check")

    # Everything goes, in the order in which one thing needs the other.
    ec2("terminate-instances", "--instance-ids", guest.id)
    guest.wait("terminated")
    ec2("release-address", "--allocation-id", allocation)
    ec2("detach-internet-gateway", *attached)
    ec2("delete-internet-gateway", "--internet-gateway-id", gateway)
    ec2("delete-subnet", "--subnet-id", subnet)
    ec2("delete-vpc", "--vpc-id", vpc)
    cloud.mallee("check")
