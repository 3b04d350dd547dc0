//! Every SQL text of the store, so that a test prepares each on both databases.

use crate::{
    account, address, audit, capacity, certificate, change, client_token, credential_report, dedicated_host,
    dhcp_options, dialect, egress_only_gateway, elastic_ip, fleet, flow_log, iam_account,
};
use crate::{iam_attachment, iam_group, iam_policy, iam_tag, iam_user, image, image_permission, insights, instance};
use crate::{
    instance_credentials, instance_event, instance_profile, instance_search, instance_type, interface,
    interface_address, interface_attachment, interface_ipv6, internet_gateway, key_pair, kms, launch_template, lease,
    login, mfa, nat_address, nat_gateway, network_acl, oidc_provider, placement_group, prefix_list, quota, quota_use,
    role, route_table, s3, saga, security_group, session, setting, spot_price, spot_request, ssh_public_key,
    subnet_ipv6_cidr, tag, topology, trail, transit, vpc, vpc_cidr, vpc_ipv6_cidr, vpc_peering,
};

/// Texts of one file: the file's name, then (name, text).
pub type SqlFile = (&'static str, &'static [(&'static str, &'static str)]);

/// The texts both databases take.
pub const SQL_BOTH: &[SqlFile] = &[
    ("account.rs", account::SQL),
    ("address.rs", address::SQL),
    ("audit.rs", audit::SQL),
    ("capacity.rs", capacity::SQL),
    ("certificate.rs", certificate::SQL),
    ("change.rs", change::SQL),
    ("client_token.rs", client_token::SQL),
    ("credential_report.rs", credential_report::SQL),
    ("dedicated_host.rs", dedicated_host::SQL),
    ("dhcp_options.rs", dhcp_options::SQL),
    ("egress_only_gateway.rs", egress_only_gateway::SQL),
    ("elastic_ip.rs", elastic_ip::SQL),
    ("fleet.rs", fleet::SQL),
    ("flow_log.rs", flow_log::SQL),
    ("iam_account.rs", iam_account::SQL),
    ("iam_attachment.rs", iam_attachment::SQL),
    ("iam_group.rs", iam_group::SQL),
    ("iam_policy.rs", iam_policy::SQL),
    ("iam_tag.rs", iam_tag::SQL),
    ("iam_user.rs", iam_user::SQL),
    ("image.rs", image::SQL),
    ("insights.rs", insights::SQL),
    ("image_permission.rs", image_permission::SQL),
    ("instance.rs", instance::SQL),
    ("instance_credentials.rs", instance_credentials::SQL),
    ("instance_event.rs", instance_event::SQL),
    ("instance_profile.rs", instance_profile::SQL),
    ("instance_search.rs", instance_search::SQL),
    ("instance_type.rs", instance_type::SQL),
    ("interface.rs", interface::SQL),
    ("interface_address.rs", interface_address::SQL),
    ("interface_attachment.rs", interface_attachment::SQL),
    ("interface_ipv6.rs", interface_ipv6::SQL),
    ("internet_gateway.rs", internet_gateway::SQL),
    ("key_pair.rs", key_pair::SQL),
    ("kms.rs", kms::SQL),
    ("launch_template.rs", launch_template::SQL),
    ("lease.rs", lease::SQL),
    ("login.rs", login::SQL),
    ("mfa.rs", mfa::SQL),
    ("nat_address.rs", nat_address::SQL),
    ("nat_gateway.rs", nat_gateway::SQL),
    ("network_acl.rs", network_acl::SQL),
    ("oidc_provider.rs", oidc_provider::SQL),
    ("placement_group.rs", placement_group::SQL),
    ("prefix_list.rs", prefix_list::SQL),
    ("quota.rs", quota::SQL),
    ("quota_use.rs", quota_use::SQL),
    ("role.rs", role::SQL),
    ("route_table.rs", route_table::SQL),
    ("s3/blob.rs", s3::blob::SQL),
    ("s3/bucket.rs", s3::bucket::SQL),
    ("s3/bucket_doc.rs", s3::bucket_doc::SQL),
    ("s3/check.rs", s3::check::SQL),
    ("s3/damage.rs", s3::damage::SQL),
    ("s3/garbage.rs", s3::garbage::SQL),
    ("s3/image.rs", s3::image::SQL),
    ("s3/inventory.rs", s3::inventory::SQL),
    ("s3/jobs.rs", s3::jobs::SQL),
    ("s3/listing.rs", s3::listing::SQL),
    ("s3/listing_versions.rs", s3::listing_versions::SQL),
    ("s3/outbox.rs", s3::outbox::SQL),
    ("s3/replication.rs", s3::replication::SQL),
    ("s3/owner.rs", s3::owner::SQL),
    ("s3/part.rs", s3::part::SQL),
    ("s3/pieces.rs", s3::pieces::SQL),
    ("s3/properties.rs", s3::properties::SQL),
    ("s3/upload.rs", s3::upload::SQL),
    ("s3/usage.rs", s3::usage::SQL),
    ("s3/version.rs", s3::version::SQL),
    ("s3/version_write.rs", s3::version_write::SQL),
    ("saga.rs", saga::SQL),
    ("security_group.rs", security_group::SQL),
    ("session.rs", session::SQL),
    ("setting.rs", setting::SQL),
    ("spot_price.rs", spot_price::SQL),
    ("spot_request.rs", spot_request::SQL),
    ("ssh_public_key.rs", ssh_public_key::SQL),
    ("subnet_ipv6_cidr.rs", subnet_ipv6_cidr::SQL),
    ("tag.rs", tag::SQL),
    ("topology.rs", topology::SQL),
    ("trail.rs", trail::SQL),
    ("transit.rs", transit::SQL),
    ("vpc.rs", vpc::SQL),
    ("vpc_cidr.rs", vpc_cidr::SQL),
    ("vpc_ipv6_cidr.rs", vpc_ipv6_cidr::SQL),
    ("vpc_peering.rs", vpc_peering::SQL),
];

/// The texts only PostgreSQL takes.
pub const SQL_POSTGRES: &[SqlFile] = &[
    ("dialect.rs", dialect::PG_SQL),
    ("instance.rs", &[("PG_FETCH_LOCKED", instance::PG_FETCH_LOCKED)]),
    ("s3/listing_rolled.rs", &[("PG_ENTRIES", s3::listing_rolled::PG_ENTRIES)]),
    ("spot_request.rs", &[("PG_FETCH_LOCKED", spot_request::PG_FETCH_LOCKED)]),
];

/// The texts only SQLite takes.
pub const SQL_SQLITE: &[SqlFile] = &[
    ("s3/listing.rs", &[("SQLITE_PAGE", s3::listing::SQLITE_PAGE)]),
    ("s3/listing_rolled.rs", &[("SQLITE_ENTRIES", s3::listing_rolled::SQLITE_ENTRIES)]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::macros::LIMIT_TAIL;

    #[test]
    fn no_limit_is_a_bare_parameter() {
        let texts = SQL_BOTH
            .iter()
            .chain(SQL_POSTGRES)
            .chain(SQL_SQLITE)
            .flat_map(|(file, texts)| texts.iter().map(move |t| (file, t)));
        for (file, (name, text)) in texts {
            for (_, rest) in text.match_indices("LIMIT $").map(|(at, found)| text.split_at(at + found.len())) {
                let tail = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                assert!(tail.starts_with(LIMIT_TAIL), "{file} {name}: SQLite would plan it anew at each execution");
            }
        }
    }
}
