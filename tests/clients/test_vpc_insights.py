"""Reachability analysis through boto3, unmodified, between instances of a simulated cloud."""

import pytest
from botocore.exceptions import ClientError

from support import wait


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value


@pytest.fixture
def pair(launch, ec2):
    """Two instances that run."""
    ids = [i["InstanceId"] for i in launch(MinCount=2, MaxCount=2)["Instances"]]
    wait(ec2, "instance_running", ids)
    return ids


@pytest.fixture
def paths(ec2):
    """Makes paths, and removes them afterwards with their analyses."""
    made = []

    def make(**options):
        path = ec2.create_network_insights_path(Protocol="tcp", **options)["NetworkInsightsPath"]
        made.append(path["NetworkInsightsPathId"])
        return path

    yield make
    for path in made:
        for one in ec2.describe_network_insights_analyses(NetworkInsightsPathId=path)["NetworkInsightsAnalyses"]:
            ec2.delete_network_insights_analysis(NetworkInsightsAnalysisId=one["NetworkInsightsAnalysisId"])
        ec2.delete_network_insights_path(NetworkInsightsPathId=path)


def analysed(ec2, path, **options):
    """As scripts do it: start, then look until it is done."""
    id = path["NetworkInsightsPathId"]
    started = ec2.start_network_insights_analysis(NetworkInsightsPathId=id, **options)["NetworkInsightsAnalysis"]
    ids = [started["NetworkInsightsAnalysisId"]]
    (found,) = ec2.describe_network_insights_analyses(NetworkInsightsAnalysisIds=ids)["NetworkInsightsAnalyses"]
    assert found["Status"] == "succeeded"
    return found


def codes(analysis):
    return [why["ExplanationCode"] for why in analysis["Explanations"]]


def test_from_instance_to_instance(ec2, pair, paths):
    path = paths(Source=pair[0], Destination=pair[1], DestinationPort=22)
    assert path["SourceArn"].endswith(f":instance/{pair[0]}")
    found = analysed(ec2, path)
    assert found["NetworkPathFound"] and not found["Explanations"]
    forward = [part["Component"]["Id"].split("-")[0] for part in found["ForwardPathComponents"]]
    assert forward == ["i", "eni", "sg", "sg", "eni", "i"]
    assert [part["SequenceNumber"] for part in found["ForwardPathComponents"]] == [1, 2, 3, 4, 5, 6]
    header = found["ForwardPathComponents"][1]["OutboundHeader"]
    assert header["Protocol"] == "6" and header["DestinationPortRanges"] == [{"From": 22, "To": 22}]
    assert header["SourcePortRanges"] == [{"From": 0, "To": 65535}]
    assert found["ReturnPathComponents"][0]["Component"]["Id"] == pair[1]
    refused(
        "AnalysisExistsForNetworkInsightsPath",
        ec2.delete_network_insights_path,
        NetworkInsightsPathId=path["NetworkInsightsPathId"],
    )


def test_an_instance_that_is_stopped_is_not_reached(ec2, pair, paths):
    path = paths(Source=pair[0], Destination=pair[1])
    assert analysed(ec2, path)["NetworkPathFound"]
    ec2.stop_instances(InstanceIds=[pair[1]])
    wait(ec2, "instance_stopped", [pair[1]])
    lost = analysed(ec2, path)
    assert not lost["NetworkPathFound"] and codes(lost) == ["BAD_STATE"]
    assert lost["Explanations"][0]["Component"]["Id"] == pair[1]
    assert lost["Explanations"][0]["State"] == "stopped"


def test_an_acl_of_the_subnet_is_asked_about_the_world(ec2, pair, paths):
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    of_vpc = [{"Name": "attachment.vpc-id", "Values": [vpc["VpcId"]]}]
    (gateway,) = ec2.describe_internet_gateways(Filters=of_vpc)["InternetGateways"]
    path = paths(
        Source=pair[0],
        Destination=gateway["InternetGatewayId"],
        FilterAtDestination={"DestinationPortRange": {"FromPort": 443, "ToPort": 443}},
    )
    found = analysed(ec2, path)
    assert found["NetworkPathFound"], codes(found)
    forward = [part["Component"]["Id"].split("-")[0] for part in found["ForwardPathComponents"]]
    assert forward == ["i", "eni", "sg", "acl", "rtb", "igw"]
    assert found["ForwardPathComponents"][4]["RouteTableRoute"]["DestinationCidr"] == "0.0.0.0/0"
    (acl,) = ec2.describe_network_acls(
        Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}, {"Name": "default", "Values": ["true"]}]
    )["NetworkAcls"]
    # Answers come to any port, and none is let in.
    entry = {"NetworkAclId": acl["NetworkAclId"], "RuleNumber": 50, "Egress": False}
    ec2.create_network_acl_entry(**entry, Protocol="6", RuleAction="deny", CidrBlock="0.0.0.0/0", PortRange={"From": 0, "To": 65535})
    try:
        lost = analysed(ec2, path)
        assert codes(lost) == ["SUBNET_ACL_RESTRICTION"]
        (why,) = lost["Explanations"]
        assert why["Direction"] == "ingress" and why["Acl"]["Id"] == acl["NetworkAclId"]
        assert why["AclRule"]["RuleNumber"] == 50
    finally:
        ec2.delete_network_acl_entry(**entry)
    assert analysed(ec2, path)["NetworkPathFound"]


def test_pages_filters_and_tags(ec2, pair, paths):
    tags = [{"ResourceType": "network-insights-path", "Tags": [{"Key": "k", "Value": "insights"}]}]
    made = sorted(
        paths(Source=pair[0], Destination=pair[1], DestinationPort=port, TagSpecifications=tags)["NetworkInsightsPathId"]
        for port in (1, 2, 3)
    )
    by_tag = [{"Name": "tag:k", "Values": ["insights"]}]
    pages = ec2.get_paginator("describe_network_insights_paths").paginate(
        Filters=by_tag, PaginationConfig={"PageSize": 2}
    )
    pages = [[path["NetworkInsightsPathId"] for path in page["NetworkInsightsPaths"]] for page in pages]
    assert pages == [made[:2], made[2:]]
    refused(
        "InvalidNetworkInsightsPathId.NotFound",
        ec2.describe_network_insights_paths,
        NetworkInsightsPathIds=["nip-00000000000000000"],
    )
    refused("NetworkInsightsSource.NotFound", ec2.create_network_insights_path,
            Source="i-00000000000000000", Destination=pair[1], Protocol="tcp")
