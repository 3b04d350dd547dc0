"""Apply, plan, change, destroy. What Terraform reads back is what it asked for: a second plan is empty."""


def states(ec2):
    return [i["State"]["Name"] for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]


def test_a_second_plan_is_empty_after_apply_and_after_every_change(cloud, terraform):
    ec2 = cloud.client("ec2")
    terraform.apply()
    assert terraform.changes() == ""
    found = terraform.outputs()
    assert found["address"].count(".") == 3 and found["memory_mib"] == 512
    assert found["account"] == cloud.client("sts").get_caller_identity()["Account"]

    terraform.apply(changed=True)
    # The template's new version is known after it is made: the next apply replaces the instance made from `$Latest`.
    assert "aws_instance.templated must be replaced" in terraform.changes(changed=True)
    terraform.apply(changed=True)
    assert terraform.changes(changed=True) == ""
    types = [i["InstanceType"] for r in ec2.describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["running"]}])["Reservations"] for i in r["Instances"]]  # fmt: skip
    assert types == ["t3.micro", "t3.micro"]

    # A change from outside is seen, and mended.
    ec2.delete_tags(Resources=[i["InstanceId"] for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]
                               if i["State"]["Name"] == "running"], Tags=[{"Key": "more"}])  # fmt: skip
    assert '"more" = "yes"' in terraform.changes(changed=True)
    terraform.apply(changed=True)
    assert terraform.changes(changed=True) == ""

    terraform("destroy", "-auto-approve", *terraform.values(True))
    assert set(states(ec2)) == {"terminated"}
    assert [g["GroupName"] for g in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]
    assert cloud.client("iam").list_roles()["Roles"] == [] and ec2.describe_key_pairs()["KeyPairs"] == []
