// An instance's life by the AWS SDK for JavaScript, unmodified; fails by throwing.

import assert from "node:assert/strict";
import {
  CreateTagsCommand,
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeInstanceTypesCommand,
  EC2Client,
  paginateDescribeInstances,
  RunInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
  waitUntilInstanceRunning,
  waitUntilInstanceStopped,
  waitUntilInstanceTerminated,
} from "@aws-sdk/client-ec2";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const ec2 = new EC2Client({});
const sts = new STSClient({});
const patience = { client: ec2, maxWaitTime: 60, minDelay: 1, maxDelay: 1 };

const { Account, Arn } = await sts.send(new GetCallerIdentityCommand({}));
assert.match(Account, /^\d{12}$/);
assert.ok(Arn.startsWith("arn:aws:iam::"));

const { Images } = await ec2.send(new DescribeImagesCommand({ Owners: ["self"] }));
const { InstanceTypes } = await ec2.send(new DescribeInstanceTypesCommand({ InstanceTypes: ["t3.nano"] }));
assert.equal(InstanceTypes[0].VCpuInfo.DefaultVCpus, 2);

const Name = "Mallee \u00fc \u{1f333} <&>";
const { Instances } = await ec2.send(
  new RunInstancesCommand({
    ImageId: Images[0].ImageId,
    InstanceType: "t3.nano",
    MinCount: 7,
    MaxCount: 7,
    TagSpecifications: [{ ResourceType: "instance", Tags: [{ Key: "Name", Value: Name }] }],
  }),
);
const InstanceIds = Instances.map((instance) => instance.InstanceId);
try {
  await waitUntilInstanceRunning(patience, { InstanceIds });
  await ec2.send(new CreateTagsCommand({ Resources: [InstanceIds[0]], Tags: [{ Key: "first", Value: "" }] }));

  const seen = [];
  const Filters = [{ Name: "tag:Name", Values: [Name] }];
  for await (const page of paginateDescribeInstances({ client: ec2, pageSize: 5 }, { Filters })) {
    seen.push(...page.Reservations.flatMap((reservation) => reservation.Instances));
  }
  assert.deepEqual(seen.map((instance) => instance.InstanceId).sort(), [...InstanceIds].sort());
  assert.ok(seen.every((instance) => instance.LaunchTime instanceof Date));

  await assert.rejects(ec2.send(new DescribeInstancesCommand({ InstanceIds: ["i-0123456789abcdef0"] })), {
    name: "InvalidInstanceID.NotFound",
    message: "The instance ID 'i-0123456789abcdef0' does not exist",
  });

  await ec2.send(new StopInstancesCommand({ InstanceIds: [InstanceIds[0]] }));
  await waitUntilInstanceStopped(patience, { InstanceIds: [InstanceIds[0]] });
} finally {
  await ec2.send(new TerminateInstancesCommand({ InstanceIds }));
  await waitUntilInstanceTerminated(patience, { InstanceIds });
}
