//! The cloud's database: SQLite by default, PostgreSQL where one machine is not enough, from one set of queries.
//!
//! Functions are named resource first (`instance_fetch`). Those that write take `&mut Tx`
//! (`store.write().await?` … `tx.commit().await?`); those that read take a `&mut Tx` or a `&Store`. A mutating API
//! call is one transaction. Any of them may fail with [`StoreError::Unavailable`]; other errors that a caller should
//! expect stand with the function, unique constraints as "Conflict". This is the only crate that names sqlx.

mod account;
mod address;
mod audit;
mod capacity;
mod certificate;
mod change;
mod client_token;
mod credential_report;
mod dedicated_host;
mod dhcp_options;
mod dialect;
mod egress_only_gateway;
mod elastic_ip;
mod error;
mod exec;
mod fleet;
mod fleet_doc;
mod flow_log;
mod group;
mod iam_account;
mod iam_attachment;
mod iam_group;
mod iam_policy;
mod iam_tag;
mod iam_user;
mod image;
mod image_permission;
mod insights;
mod instance;
mod instance_credentials;
mod instance_doc;
mod instance_event;
mod instance_profile;
mod instance_search;
mod instance_type;
mod interface;
mod interface_address;
mod interface_attachment;
mod interface_ipv6;
mod internet_gateway;
mod json;
mod key_pair;
mod kms;
mod later;
mod launch_template;
mod lease;
mod login;
mod macros;
mod mfa;
mod migrations;
mod nat_address;
mod nat_gateway;
mod network_acl;
mod oidc_provider;
mod placement_group;
mod prefix_list;
mod quota;
mod quota_use;
pub mod registry;
mod role;
mod route_table;
mod s3;
mod saga;
mod seal;
mod security_group;
mod select;
mod session;
mod setting;
mod spot_price;
mod spot_request;
mod ssh_public_key;
mod store;
mod subnet_ipv6_cidr;
mod tag;
#[cfg(feature = "test-support")]
pub mod test_support;
mod topology;
mod trail;
mod transit;
mod tx;
mod value;
mod vpc;
mod vpc_cidr;
mod vpc_ipv6_cidr;
mod vpc_peering;

pub use account::{
    AccessKeyRow, AccountRow, UserRow, access_key_active_set, access_key_delete, access_key_fetch, access_key_insert,
    access_key_list, access_key_secret, account_by_name, account_fetch, account_insert, account_list, user_delete,
    user_fetch, user_insert, user_list,
};
pub use address::{
    ADDRESS_HOLD_MS, AddressRange, PublicAddressRow, private_address_count, private_address_counts,
    private_address_take_exact, private_addresses_release, private_addresses_take, public_address_count,
    public_address_give, public_address_list, public_address_release, public_address_take, public_address_take_exact,
    public_addresses_of, public_addresses_take,
};
pub use audit::{
    AuditEventRow, AuditFilter, AuditResourceRow, audit_insert, audit_list, audit_purge, audit_resource_list,
};
pub use capacity::{
    CapacityFilter, CapacityReservationRow, CapacityState, CapacityUsed, NodeCounts, capacity_count, capacity_delete,
    capacity_fetch, capacity_fetch_locked, capacity_insert, capacity_leftovers, capacity_list, capacity_list_due,
    capacity_list_purgeable, capacity_members, capacity_next_end, capacity_unuse, capacity_update, capacity_use,
    capacity_used,
};
pub use certificate::{
    ServerCertificateRow, SigningCertificateRow, server_certificate_by_name, server_certificate_delete,
    server_certificate_insert, server_certificate_key, server_certificate_list, server_certificate_rename,
    signing_certificate_active_set, signing_certificate_delete, signing_certificate_insert, signing_certificate_list,
    signing_certificate_list_account,
};
pub use change::{
    CHANGES_KEPT, CHANGES_PAGE_MAX, ChangeRow, IDENTITY_CHANGE, change_append, changes_bounds, changes_prune,
    changes_since,
};
pub use client_token::{
    ClientTokenClaim, OldClientToken, client_token_claim, client_token_claim_with, client_token_forget,
    client_token_old, client_token_peek, client_token_renew, client_token_renew_of, client_token_renew_of_instance,
    client_token_result_set,
};
pub use credential_report::{CredentialReportRow, credential_report_fetch, credential_report_put};
pub use dedicated_host::{
    HostFilter, HostRow, HostState, host_count, host_delete, host_fetch, host_fetch_locked, host_insert, host_list,
    host_list_purgeable, host_unuse, host_update, host_use, host_users,
};
pub use dhcp_options::{
    DhcpOptionsDoc, DhcpOptionsRow, dhcp_options_associate, dhcp_options_default, dhcp_options_delete,
    dhcp_options_insert, dhcp_options_list, dhcp_options_list_used, vpc_list_strange_dhcp,
};
pub use egress_only_gateway::{
    EgressOnlyGatewayFilter, EgressOnlyGatewayRow, egress_only_gateway_delete, egress_only_gateway_insert,
    egress_only_gateway_list,
};
pub use elastic_ip::{
    ElasticIpFilter, ElasticIpRow, elastic_ip_associate, elastic_ip_delete, elastic_ip_disassociate, elastic_ip_insert,
    elastic_ip_list,
};
pub use error::StoreError;
pub use exec::Exec;
pub use fleet::{
    FleetEventKind, FleetEventRow, FleetKind, FleetLaunchRow, FleetLaunchState, FleetMemberRow, FleetMemberState,
    FleetRow, FleetState, fleet_count, fleet_delete, fleet_event_insert, fleet_event_list, fleet_event_purge,
    fleet_fetch, fleet_hold, fleet_insert, fleet_launch_end, fleet_launch_fetch, fleet_launch_insert,
    fleet_launch_list, fleet_launch_prune, fleet_list, fleet_list_old, fleet_list_open, fleet_member_forget,
    fleet_member_insert, fleet_member_list, fleet_member_list_all, fleet_member_set, fleet_update,
};
pub use fleet_doc::{FleetCandidate, FleetDoc, FleetLaunchDoc, FleetOptions, FleetStrategy};
pub use flow_log::{
    FlowLogFilter, FlowLogRow, flow_log_delete, flow_log_insert, flow_log_list, flow_log_tail_list, flow_log_tails_put,
    flow_log_tried,
};
pub use iam_account::{account_belongings, account_leftovers, account_wipe};
pub use iam_attachment::{
    IAM_PRINCIPALS_MAX, IamAttachmentRow, IamBoundaryRow, IamInlinePolicyRow, PrincipalKind, iam_attach,
    iam_attachment_count, iam_attachment_counts, iam_attachment_list, iam_attachment_list_of, iam_boundary_counts,
    iam_boundary_delete, iam_boundary_fetch, iam_boundary_list, iam_boundary_list_of, iam_boundary_put, iam_detach,
    iam_inline_delete, iam_inline_fetch, iam_inline_list_account, iam_inline_list_of, iam_inline_put,
    iam_principal_forget,
};
pub use iam_group::{
    IamGroupRow, iam_group_by_name, iam_group_count, iam_group_count_of_user, iam_group_delete, iam_group_insert,
    iam_group_list_of, iam_group_member_add, iam_group_member_count, iam_group_member_remove, iam_group_members,
    iam_group_members_remove, iam_group_page, iam_group_update, iam_groups_of_user, iam_memberships,
};
pub use iam_policy::{
    IamPolicyRow, IamPolicyVersionRow, iam_policy_by_arn, iam_policy_count, iam_policy_delete, iam_policy_documents,
    iam_policy_insert, iam_policy_page, iam_policy_update, iam_policy_version_count, iam_policy_version_delete,
    iam_policy_version_fetch, iam_policy_version_insert, iam_policy_version_list, iam_policy_version_list_account,
};
pub use iam_tag::{
    IamTagRow, iam_tag_delete, iam_tag_delete_of, iam_tag_fold, iam_tag_list, iam_tag_list_of, iam_tag_put,
};
pub use iam_user::{
    AccessKeyUseRow, NamedFilter, access_key_list_account, access_key_use_fetch, access_key_use_list,
    access_key_use_put, account_delete, account_page, account_rename, cloud_account, cloud_account_set, user_admin,
    user_by_name, user_count, user_list_of, user_page, user_update,
};
pub use image::{
    ImageFilter, ImageProtection, ImageRow, ImageState, image_delete, image_fetch, image_insert, image_list,
    image_list_state, image_update,
};
pub use image_permission::{
    ImagePermissionRow, image_permission_clear, image_permission_delete, image_permission_list, image_permission_put,
};
pub use insights::{
    InsightsAnalysisFilter, InsightsAnalysisRow, InsightsFilter, InsightsPathDoc, InsightsPathFilter, InsightsPathRow,
    insights_analysis_count, insights_analysis_delete, insights_analysis_insert, insights_analysis_list,
    insights_path_delete, insights_path_fetch, insights_path_insert, insights_path_list,
};
pub use instance::{
    InstanceFilter, InstanceRow, instance_delete, instance_fetch, instance_fetch_locked, instance_image_used,
    instance_insert, instance_insert_later, instance_intent_update, instance_list, instance_list_purgeable,
    instance_list_terminated_in, instance_observe, instance_observe_later, instance_placement, instance_touch_all,
    instance_user_data, instance_user_data_of, instance_user_data_set, instance_versions, instances_fetch_locked,
};
pub use instance_credentials::{
    CREDENTIALS_DUE_MAX, CredentialsCode, InstanceCredentialsRow, instance_credentials_due,
    instance_credentials_due_of_profile, instance_credentials_due_of_role, instance_credentials_fetch,
    instance_credentials_list_of, instance_credentials_put, instance_credentials_secrets,
};
pub use instance_doc::{
    CpuCredits, GroupMembership, ImageRef, InstanceDoc, MetadataOptions, ShutdownBehavior, SpotMembership, SpotNotice,
};
pub use instance_event::{
    EVENTS_PER_INSTANCE_MAX, EventCode, EventState, InstanceEventFilter, InstanceEventRow, instance_event_delete,
    instance_event_due, instance_event_fetch, instance_event_insert, instance_event_list, instance_event_purge,
    instance_event_update,
};
pub use instance_profile::{
    InstanceProfileRow, ProfileAssociationRow, instance_profile_by_name, instance_profile_delete,
    instance_profile_fetch, instance_profile_insert, instance_profile_list, instance_profile_update,
    profile_association_delete, profile_association_fetch, profile_association_insert, profile_association_list,
    profile_association_list_all, profile_association_list_of,
};
pub use instance_search::{InstanceMatches, InstanceTerm, instance_search};
pub use instance_type::{InstanceTypeRow, instance_type_delete, instance_type_list, instance_type_put};
pub use interface::{
    InterfaceAttachedRow, InterfaceFilter, InterfaceGroupRow, InterfaceKind, InterfaceRow, interface_attach,
    interface_attached_list, interface_delete, interface_delete_on_termination_set, interface_description_set,
    interface_detach, interface_fetch, interface_fetch_locked, interface_group_list, interface_groups_set,
    interface_insert, interface_insert_later, interface_list, interface_source_dest_check_set,
};
pub use interface_address::{
    InterfaceAddressRow, interface_address_delete, interface_address_holders, interface_address_list,
    interface_address_move, interface_addresses_insert,
};
pub use interface_attachment::{InterfaceAttachmentRow, interface_attachment_list, interface_attachment_put};
pub use interface_ipv6::{
    InterfaceIpv6Row, interface_ipv6_delete, interface_ipv6_holders, interface_ipv6_insert, interface_ipv6_list,
};
pub use internet_gateway::{
    InternetGatewayRow, internet_gateway_attach, internet_gateway_delete, internet_gateway_detach,
    internet_gateway_hold, internet_gateway_insert, internet_gateway_list, internet_gateway_list_attached,
    vpc_has_public_address,
};
pub use json::{Json, TextList};
pub use key_pair::{KeyPairKind, KeyPairRow, key_pair_by_name, key_pair_delete, key_pair_insert, key_pair_list};
pub use kms::{
    KmsAliasRow, KmsKeyDoc, KmsKeyRow, KmsMaterialRow, KmsReason, KmsState, kms_account_lock, kms_alias_delete,
    kms_alias_fetch, kms_alias_insert, kms_alias_list, kms_alias_list_of, kms_alias_update, kms_key_count,
    kms_key_deletable, kms_key_delete, kms_key_fetch, kms_key_insert, kms_key_list, kms_key_locked, kms_key_rotatable,
    kms_key_update, kms_material_insert, kms_material_list, kms_material_newest, kms_material_secret,
};
pub use launch_template::{
    LaunchTemplateRow, LaunchTemplateVersionFilter, LaunchTemplateVersionRow, launch_template_default_set,
    launch_template_delete, launch_template_insert, launch_template_list, launch_template_next_version,
    launch_template_version_count, launch_template_version_delete, launch_template_version_insert,
    launch_template_version_latest, launch_template_version_list,
};
pub use lease::{LeaseRow, lease_acquire, lease_fetch, lease_list, lease_release, lease_renew};
pub use login::{
    LoginProfileRow, PasswordRules, login_profile_delete, login_profile_fetch, login_profile_insert,
    login_profile_list, login_profile_update, login_profile_used, password_rules_delete, password_rules_fetch,
    password_rules_put,
};
pub use mfa::{
    MfaDeviceRow, mfa_device_delete, mfa_device_fetch, mfa_device_insert, mfa_device_list, mfa_device_seed,
    mfa_device_update,
};
pub use nat_address::{
    NatAddressRow, NatAddressState, nat_address_delete, nat_address_drain, nat_address_insert, nat_address_leave,
    nat_address_list, nat_address_list_drained, nat_address_up,
};
pub use nat_gateway::{
    NatGatewayFilter, NatGatewayRow, NatGatewayState, nat_gateway_count, nat_gateway_delete, nat_gateway_failed_delete,
    nat_gateway_forget, nat_gateway_gone, nat_gateway_insert, nat_gateway_list, nat_gateway_list_ended,
    nat_gateway_list_over, nat_gateway_nodes, nat_gateway_touch, nat_gateway_up,
};
pub use network_acl::{
    NetworkAclAssociationFilter, NetworkAclAssociationRow, NetworkAclEntryRow, NetworkAclFilter, NetworkAclRow,
    network_acl_association_insert, network_acl_association_list, network_acl_association_of_subnet_delete,
    network_acl_association_replace, network_acl_default, network_acl_delete, network_acl_entry_delete,
    network_acl_entry_insert, network_acl_entry_list, network_acl_entry_replace, network_acl_insert, network_acl_list,
    network_acl_touch,
};
pub use oidc_provider::{
    OidcProviderRow, oidc_provider_delete, oidc_provider_fetch, oidc_provider_insert, oidc_provider_list,
    oidc_provider_update,
};
pub use placement_group::{
    PlacementGroupRow, PlacementStrategy, placement_group_delete, placement_group_insert, placement_group_join,
    placement_group_leave, placement_group_list, placement_group_member_count, placement_group_zones,
};
pub use prefix_list::{
    PREFIX_LIST_VERSIONS_KEPT, PrefixListEntryRow, PrefixListFamily, PrefixListFilter, PrefixListRow, PrefixListState,
    PrefixListUses, prefix_list_delete, prefix_list_entries, prefix_list_entries_end, prefix_list_entries_forget,
    prefix_list_entries_insert, prefix_list_entries_now, prefix_list_hold, prefix_list_insert, prefix_list_list,
    prefix_list_update, prefix_list_uses,
};
pub use quota::{
    QuotaRequestRow, QuotaRequestStatus, QuotaSettingRow, quota_hold, quota_request_fetch, quota_request_insert,
    quota_request_list, quota_request_settle, quota_setting_clear, quota_setting_fetch, quota_setting_list,
    quota_setting_put,
};
pub use quota_use::{Counted, bucket_creator, creators_forget, creators_put, oidc_creator, quota_use};
pub use role::{
    RoleRow, role_by_name, role_count, role_delete, role_fetch, role_insert, role_list, role_list_of, role_update,
    role_used,
};
pub use route_table::{
    ROUTE_TABLES_MAX, RouteAssociationFilter, RouteAssociationRow, RouteDestination, RouteRow, RouteTableFilter,
    RouteTableRow, TO_EGRESS_ONLY_GATEWAY, TO_INTERNET_GATEWAY, TO_NAT_GATEWAY, TO_NETWORK_INTERFACE,
    TO_TRANSIT_GATEWAY, TO_VPC_PEERING, route_association_delete, route_association_insert, route_association_list,
    route_association_main_delete, route_association_of_subnet_delete, route_association_replace, route_delete,
    route_insert, route_list, route_replace, route_table_delete, route_table_insert, route_table_list,
    route_table_number, route_table_touch,
};
pub use s3::*;
pub use saga::{
    SagaDirection, SagaEvent, SagaLogRow, SagaRow, SagaState, saga_fetch, saga_insert, saga_list, saga_list_orphans,
    saga_log, saga_progress, saga_purge, saga_retry, saga_take_over,
};
pub use seal::SealKey;
pub use security_group::{
    RULE_DUPLICATE, SecurityGroupFilter, SecurityGroupRow, SecurityGroupRuleRow, security_group_by_name,
    security_group_delete, security_group_fetch, security_group_hold, security_group_insert, security_group_list,
    security_group_list_all, security_group_named_from, security_group_referrers, security_group_rule_delete,
    security_group_rule_describe, security_group_rule_insert, security_group_rule_list, security_group_rule_list_all,
    security_group_rules_of, security_group_touch,
};
pub use select::{FILTER_VALUES_MAX, PAGE_ROWS_MAX};
pub use session::{
    SESSIONS_PURGED_MAX, SessionDoc, SessionKind, SessionRow, session_fetch, session_insert, session_purge,
    session_secret, text_open, text_seal,
};
pub use setting::{setting_delete, setting_fetch, setting_insert, setting_list, setting_put};
pub use spot_price::{SpotPriceRow, spot_price_list, spot_price_purge, spot_price_put};
pub use spot_request::{
    InterruptionBehavior, SpotKind, SpotRequestRow, SpotState, spot_request_count, spot_request_delete,
    spot_request_due, spot_request_fetch, spot_request_fetch_locked, spot_request_insert,
    spot_request_last_interruption, spot_request_list, spot_request_list_purgeable, spot_request_open,
    spot_request_update, spot_request_user_data,
};
pub use ssh_public_key::{
    SshPublicKeyRow, ssh_public_key_active_set, ssh_public_key_delete, ssh_public_key_insert, ssh_public_key_list,
};
pub use store::{Store, StoreConfig};
pub use subnet_ipv6_cidr::{
    SubnetIpv6CidrRow, subnet_ipv6_assign_set, subnet_ipv6_cidr_delete, subnet_ipv6_cidr_fetch,
    subnet_ipv6_cidr_fetch_locked, subnet_ipv6_cidr_insert, subnet_ipv6_cidr_list, subnet_ipv6_cidr_list_in,
};
pub use tag::{TagFilter, TagRow, tag_count, tag_delete, tag_delete_of, tag_list, tag_list_of, tag_put};
pub use topology::{
    ClusterRow, JoinTokenRow, NodeDoc, NodeRow, cluster_delete, cluster_list, cluster_put, join_token_fetch,
    join_token_insert, join_token_list, join_token_purge, join_token_use, node_delete, node_fetch, node_list, node_put,
};
pub use trail::{
    DigestDone, DigestPlanned, TrailDeliveryRow, TrailFileRow, TrailKeyRow, TrailRow, trail_delete, trail_delivered,
    trail_delivery_count, trail_delivery_delete, trail_delivery_list, trail_delivery_put, trail_digest_delivered,
    trail_digest_failed, trail_digest_planned, trail_fetch, trail_file_delete, trail_file_list, trail_file_put,
    trail_insert, trail_key_insert, trail_key_list, trail_key_secret, trail_list, trail_list_all, trail_tried,
    trail_update,
};
pub use transit::{
    TransitAttachmentFilter, TransitAttachmentRow, TransitGatewayFilter, TransitGatewayRow, TransitPropagationRow,
    TransitRouteRow, TransitState, TransitTableFilter, TransitTableRow, transit_attachment_end,
    transit_attachment_insert, transit_attachment_list, transit_attachment_set, transit_forget, transit_gateway_end,
    transit_gateway_insert, transit_gateway_list, transit_gateway_set, transit_gateway_touch,
    transit_propagation_delete, transit_propagation_list, transit_propagation_put, transit_route_delete,
    transit_route_insert, transit_route_list, transit_route_set, transit_table_end, transit_table_insert,
    transit_table_list,
};
pub use tx::Tx;
pub use vpc::{
    SubnetRow, VNI_FIRST, VNI_LAST, VpcAttribute, VpcRow, subnet_default, subnet_delete, subnet_fetch, subnet_hold,
    subnet_insert, subnet_list, subnet_list_all, subnet_map_public_ip_set, subnet_touch, vpc_attribute_set,
    vpc_default, vpc_delete, vpc_fetch, vpc_insert, vpc_list, vpc_list_all, vpc_list_nameless, vpc_touch, vpc_vni_take,
};
pub use vpc_cidr::{VpcCidrRow, vpc_blocks, vpc_cidr_delete, vpc_cidr_fetch, vpc_cidr_insert, vpc_cidr_list};
pub use vpc_ipv6_cidr::{
    VpcIpv6CidrRow, vpc_ipv6_cidr_delete, vpc_ipv6_cidr_fetch, vpc_ipv6_cidr_hold, vpc_ipv6_cidr_insert,
    vpc_ipv6_cidr_list,
};
pub use vpc_peering::{
    VPC_PEERING_DUPLICATE, VPC_PEERING_EXPIRED_SHOWN_MS, VpcPeeringFilter, VpcPeeringRow, VpcPeeringState,
    vpc_peering_accept, vpc_peering_between, vpc_peering_count_active, vpc_peering_delete, vpc_peering_end,
    vpc_peering_expire, vpc_peering_hold, vpc_peering_insert, vpc_peering_list, vpc_peering_list_ended,
    vpc_peering_list_of, vpc_peering_list_over, vpc_peering_list_shown, vpc_peering_options_set,
};
