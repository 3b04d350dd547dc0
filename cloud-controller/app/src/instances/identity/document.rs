//! What an identity document says.

use mallee_proto::v1::InstanceIntent;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The document of an instance of this architecture (`x86_64`), in EC2's form; `None` without a spec, metadata or interface.
pub(super) fn of(intent: &InstanceIntent, architecture: &str) -> Option<String> {
    let spec = intent.spec.as_ref()?;
    let metadata = spec.metadata.as_ref()?;
    let port = spec.ports.iter().min_by_key(|port| port.device_index)?;
    let pending = OffsetDateTime::from_unix_timestamp(metadata.launch_time_ms / 1000).ok()?.format(&Rfc3339).ok()?;
    let document = serde_json::json!({
        "accountId": intent.account_id,
        "architecture": architecture,
        "availabilityZone": metadata.zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "imageId": metadata.image_id,
        "instanceId": intent.id,
        "instanceType": spec.instance_type,
        "kernelId": null,
        "marketplaceProductCodes": null,
        "pendingTime": pending,
        "privateIp": port.private_ip,
        "ramdiskId": null,
        "region": metadata.region,
        "version": "2017-09-30",
    });
    serde_json::to_string_pretty(&document).ok()
}
