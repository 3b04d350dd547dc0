//! Which operations of EC2 are offered, and who answers them.

use crate::Ec2Api;
use mallee_ec2_types::ec2::{Ec2Request, SERVICE};

mallee_app::offered! {
    /// Every operation of EC2 this cloud offers, sorted by name.
    pub const OFFERED: Ec2Request of SERVICE;
    |api: &Ec2Api, cx, params, r|
    Write AuthorizeSecurityGroupEgress => api.authorize_egress(cx, r).await;
    Write AuthorizeSecurityGroupIngress => api.authorize_ingress(cx, r).await;
    Write CreateKeyPair => api.create_key_pair(cx, r).await;
    Write CreateSecurityGroup => api.create_security_group(cx, r).await;
    Write CreateTags => api.create_tags(cx, r).await;
    Write DeleteKeyPair => api.delete_key_pair(cx, r).await;
    Write DeleteSecurityGroup => api.delete_security_group(cx, r).await;
    Write DeleteTags => api.delete_tags(cx, r).await;
    Write DeregisterImage => api.deregister_image(cx, r).await;
    Read DescribeAccountAttributes => api.describe_account_attributes(cx, r).await;
    Read DescribeAddresses => api.describe_addresses(r);
    Read DescribeAvailabilityZones => api.describe_availability_zones(r);
    Read DescribeImages => api.describe_images(cx, r).await;
    Read DescribeInstanceAttribute => api.describe_instance_attribute(cx, r).await;
    Read DescribeInstanceStatus => api.describe_instance_status(cx, r).await;
    Read DescribeInstanceTypeOfferings => api.describe_instance_type_offerings(r);
    Read DescribeInstanceTypes => api.describe_instance_types(r);
    Read DescribeInstances => api.describe_instances(cx, r).await;
    Read DescribeKeyPairs => api.describe_key_pairs(cx, r).await;
    Read DescribeNetworkInterfaces => api.describe_network_interfaces(cx, r).await;
    Read DescribeRegions => api.describe_regions(r);
    Read DescribeSecurityGroupRules => api.describe_security_group_rules(cx, r).await;
    Read DescribeSecurityGroups => api.describe_security_groups(cx, r).await;
    Read DescribeSubnets => api.describe_subnets(cx, r).await;
    Read DescribeTags => api.describe_tags(cx, r).await;
    Read DescribeVpcAttribute => api.describe_vpc_attribute(cx, r).await;
    Read DescribeVpcs => api.describe_vpcs(cx, r).await;
    Read GetConsoleOutput => api.get_console_output(cx, r).await;
    Write ImportKeyPair => api.import_key_pair(cx, r).await;
    Write RebootInstances => api.reboot_instances(cx, r).await;
    Write RegisterImage => api.register_image(cx, r).await;
    Write RevokeSecurityGroupEgress => api.revoke_egress(cx, r).await;
    Write RevokeSecurityGroupIngress => api.revoke_ingress(cx, r).await;
    Write RunInstances => api.run_instances(cx, r, params).await;
    Write StartInstances => api.start_instances(cx, r).await;
    Write StopInstances => api.stop_instances(cx, r).await;
    Write TerminateInstances => api.terminate_instances(cx, r).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_app::operation::{Access, Offered};
    use mallee_ec2_types::ec2::OPERATIONS;

    #[test]
    fn the_offer_is_sorted_generated_and_rightly_called_read_or_write() {
        assert!(OFFERED.windows(2).all(|two| two[0].name < two[1].name));
        for Offered { name, access } in OFFERED {
            let meta = OPERATIONS.iter().find(|op| op.name == *name);
            let meta = meta.unwrap_or_else(|| panic!("{name} is not generated"));
            assert_eq!(meta.read_only(), *access == Access::Read, "{name}");
            assert!(meta.dry_run, "{name}: every offered operation can be tried dry");
        }
    }
}
