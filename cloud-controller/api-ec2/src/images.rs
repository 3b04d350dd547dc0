//! Images: register, deregister, describe.

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, dry_run, fill, filters, next_key, only, page, refuse, rows as read_rows, tag_filter_values,
    tags_of_one, tags_on, time_text, values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::images::{RegisterRequest, TAG_KIND};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    DeregisterImageRequest, DeregisterImageResult, DescribeImagesRequest, DescribeImagesResult, Image,
    RegisterImageRequest, RegisterImageResult, StateReason,
};
use mallee_store::{ImageFilter, ImageRow, ImageState, Store, image_list, image_permission_list};
use mallee_types::{AccountId, ImageId};

/// The first disk of our guests is a virtio disk.
const ROOT_DEVICE_NAME: &str = "/dev/vda";
/// The only architecture our nodes run.
const ARCHITECTURE: &str = "x86_64";
/// What DescribeImages filters by. Those of features this cloud does not have are known and match nothing.
const FILTERS: [&str; 37] = [
    "architecture",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "boot-mode",
    "creation-date",
    "description",
    "ena-support",
    "free-tier-eligible",
    "hypervisor",
    "image-allowed",
    "image-id",
    "image-type",
    "is-public",
    "kernel-id",
    "manifest-location",
    "name",
    "owner-alias",
    "owner-id",
    "platform",
    "platform-details",
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "root-device-name",
    "root-device-type",
    "source-image-id",
    "source-instance-id",
    "sriov-net-support",
    "state",
    "state-reason-code",
    "state-reason-message",
    "tag-key",
    "virtualization-type",
];

impl Filterable for Image {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "architecture" => values_of(&self.architecture),
            "boot-mode" => values_of(&self.boot_mode),
            "creation-date" => values_of(&self.creation_date),
            "description" => values_of(&self.description),
            "ena-support" => values_of(&self.ena_support),
            "free-tier-eligible" => values_of(&self.free_tier_eligible),
            "image-allowed" => values_of(&self.image_allowed),
            "image-id" => values_of(&self.image_id),
            "image-type" => values_of(&self.image_type),
            "is-public" => values_of(&self.public),
            "manifest-location" => values_of(&self.image_location),
            "name" => values_of(&self.name),
            "owner-id" => values_of(&self.owner_id),
            "platform-details" => values_of(&self.platform_details),
            "root-device-name" => values_of(&self.root_device_name),
            "root-device-type" => values_of(&self.root_device_type),
            "state" => values_of(&self.state),
            "state-reason-code" => self.state_reason.iter().flat_map(|reason| values_of(&reason.code)).collect(),
            "state-reason-message" => self.state_reason.iter().flat_map(|reason| values_of(&reason.message)).collect(),
            "virtualization-type" => values_of(&self.virtualization_type),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

/// An image's state in EC2's words.
pub(crate) const fn state_name(row: &ImageRow) -> &'static str {
    match row.state {
        ImageState::Pending => "pending",
        ImageState::Available if row.disabled => "disabled",
        ImageState::Available => "available",
        ImageState::Failed => "failed",
        ImageState::Deregistered => "deregistered",
    }
}

fn shape(row: ImageRow, tags: &mut TagMap, now_ms: i64) -> Image {
    let state = state_name(&row);
    let deregistration_protection = crate::image_attributes::protection(&row, now_ms);
    Image {
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        architecture: Some(row.architecture),
        boot_mode: Some("legacy-bios".into()),
        creation_date: Some(time_text(row.created_ms)),
        deprecation_time: row.deprecation_ms.map(time_text),
        deregistration_protection: Some(deregistration_protection),
        description: (!row.description.is_empty()).then_some(row.description),
        ena_support: Some(false),
        image_id: Some(row.id.to_string()),
        image_location: Some(row.location),
        image_type: Some("machine".into()),
        name: Some(row.name),
        owner_id: Some(row.account_id.to_string()),
        platform_details: Some("Linux/UNIX".into()),
        public: Some(row.is_public),
        root_device_name: Some(row.root_device_name),
        root_device_type: Some("instance-store".into()),
        state: Some(state.into()),
        state_reason: row
            .state_reason
            .map(|message| StateReason { code: Some("Client.InvalidImage".into()), message: Some(message) }),
        usage_operation: Some("RunInstances".into()),
        virtualization_type: Some("hvm".into()),
        ..Default::default()
    }
}

/// Whose images are wanted: `Owners` of a request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Owners(Option<Vec<AccountId>>);

impl Owners {
    fn parse(texts: &[String], me: &AccountId) -> Result<Self, ApiError> {
        if texts.is_empty() {
            return Ok(Self(None));
        }
        let mut accounts = Vec::new();
        for text in texts {
            match text.as_str() {
                "self" => accounts.push(me.clone()),
                // Aliases of publishers that have no images here.
                "amazon" | "aws-marketplace" | "aws-backup-vault" => {}
                other => accounts.push(other.parse().map_err(|_| {
                    ApiError::invalid_value(
                        "Owners",
                        other,
                        "It must be an account id, self, amazon, aws-marketplace or aws-backup-vault.",
                    )
                })?),
            }
        }
        Ok(Self(Some(accounts)))
    }
}

/// Users that one request may name in `ExecutableBy`; each is a look-up.
const EXECUTABLE_USERS_MAX: usize = 50;

/// Whose right to start an image is asked for: `ExecutableBy`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Executable {
    all: bool,
    users: Vec<AccountId>,
}

impl Executable {
    /// `None`: it is not asked for.
    fn parse(texts: &[String], me: &AccountId) -> Result<Option<Self>, ApiError> {
        if texts.is_empty() {
            return Ok(None);
        }
        if texts.len() > EXECUTABLE_USERS_MAX {
            return Err(Code::RequestResourceCountExceeded.with(&[&EXECUTABLE_USERS_MAX.to_string()]));
        }
        let mut out = Self::default();
        for text in texts {
            match text.as_str() {
                "all" => out.all = true,
                "self" => out.users.push(me.clone()),
                other => out.users.push(other.parse().map_err(|_| {
                    ApiError::invalid_value("ExecutableBy", other, "It must be an account id, self or all.")
                })?),
            }
        }
        Ok(Some(out))
    }

    /// Keeps the images that these users have an explicit permission for. Whom others share theirs with is their
    /// business: of another account's image only the caller's own permission counts.
    async fn retain(&self, store: &Store, me: &AccountId, rows: &mut Vec<ImageRow>) -> Result<(), ApiError> {
        let ids: Vec<ImageId> = rows.iter().map(|row| row.id.clone()).collect();
        let mut shared = std::collections::BTreeSet::new();
        for user in self.users.iter().filter(|_| !ids.is_empty()) {
            let found = image_permission_list(store, Some(&ids), Some(user), ROWS).await;
            shared.extend(read_rows(found)?.into_iter().map(|row| (row.image_id, row.account_id)));
        }
        rows.retain(|row| {
            let may = |user: &AccountId| {
                (row.account_id == *me || user == me) && shared.contains(&(row.id.clone(), user.clone()))
            };
            (self.all && row.is_public) || self.users.iter().any(may)
        });
        Ok(())
    }
}

/// Whether an image is shown that nobody asked for by its id: others' deprecated ones and disabled ones are not.
fn is_listed(row: &ImageRow, me: &AccountId, now_ms: i64, deprecated: bool, disabled: bool) -> bool {
    let hidden = row.deprecation_ms.is_some_and(|at| at <= now_ms) && row.account_id != *me && !deprecated;
    !hidden && (!row.disabled || disabled)
}

impl Ec2Api {
    pub(crate) async fn describe_images(
        &self,
        cx: &OpContext,
        r: DescribeImagesRequest,
    ) -> Result<DescribeImagesResult, ApiError> {
        let DescribeImagesRequest {
            dry_run: dry,
            executable_users,
            filters: wanted,
            image_ids,
            include_deprecated,
            include_disabled,
            max_results,
            next_token,
            owners,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeImages", max_results, next_token.as_deref(), 1..=1000, &image_ids)?;
        let ids: &Vec<ImageId> = &parse_ids(&image_ids, Code::InvalidAmiIdMalformed)?;
        let Owners(owners) = &Owners::parse(&owners, cx.account())?;
        let executable = &Executable::parse(&executable_users, cx.account())?;
        let (deprecated, disabled) = (include_deprecated == Some(true), include_disabled == Some(true));
        let now_ms = self.cloud.clock().now_ms();
        dry_run(dry)?;
        if !ids.is_empty() {
            let filter = ImageFilter { visible_to: Some(cx.account()), ids: Some(ids), ..Default::default() };
            let there = read_rows(image_list(self.store(), filter, ROWS).await)?;
            require_all(ids, |id| there.iter().any(|row| row.id == *id), Code::InvalidAmiIdNotFound)?;
        }
        let read = |after: Option<ImageId>| async move {
            let filter = ImageFilter {
                visible_to: Some(cx.account()),
                ids: (!ids.is_empty()).then_some(ids.as_slice()),
                owners: owners.as_deref(),
                deregistered: false,
                after: after.as_ref(),
            };
            let mut rows = read_rows(image_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&rows, |row| row.id.clone());
            rows.retain(|row| !ids.is_empty() || is_listed(row, cx.account(), now_ms, deprecated, disabled));
            if let Some(executable) = executable {
                executable.retain(self.store(), cx.account(), &mut rows).await?;
            }
            let mut tags = tags_on(self.store(), cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
            let shapes = rows.into_iter().map(|row| shape(row, &mut tags, now_ms));
            Ok(Chunk { found: shapes.filter(|image| filters.accept(image)).collect(), next })
        };
        let key = |image: &Image| image.image_id.clone().unwrap_or_default();
        let (images, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeImagesResult { images, next_token })
    }

    pub(crate) async fn register_image(
        &self,
        cx: &OpContext,
        r: RegisterImageRequest,
    ) -> Result<RegisterImageResult, ApiError> {
        let request = register_request(r)?;
        let id = self.cloud.register_image(cx, &request).await?;
        Ok(RegisterImageResult { image_id: Some(id.to_string()) })
    }

    pub(crate) async fn deregister_image(
        &self,
        cx: &OpContext,
        r: DeregisterImageRequest,
    ) -> Result<DeregisterImageResult, ApiError> {
        let DeregisterImageRequest { delete_associated_snapshots: _images_have_none, dry_run, image_id } = r;
        self.cloud.deregister_image(cx, &image_id.unwrap_or_default(), dry_run == Some(true)).await?;
        Ok(DeregisterImageResult { return_: Some(true), delete_snapshot_results: Vec::new() })
    }
}

fn register_request(r: RegisterImageRequest) -> Result<RegisterRequest, ApiError> {
    let RegisterImageRequest {
        architecture,
        billing_products,
        block_device_mappings,
        boot_mode,
        description,
        dry_run,
        ena_support,
        image_location,
        imds_support,
        kernel_id,
        name,
        ramdisk_id,
        root_device_name,
        sriov_net_support,
        tag_specifications,
        tpm_support,
        uefi_data,
        virtualization_type,
    } = r;
    refuse("BillingProduct", !billing_products.is_empty())?;
    refuse("BlockDeviceMapping", !block_device_mappings.is_empty())?;
    refuse("EnaSupport", ena_support == Some(true))?;
    refuse("ImdsSupport", imds_support.is_some())?;
    refuse("KernelId", kernel_id.is_some())?;
    refuse("RamdiskId", ramdisk_id.is_some())?;
    refuse("SriovNetSupport", sriov_net_support.is_some())?;
    refuse("TpmSupport", tpm_support.is_some())?;
    refuse("UefiData", uefi_data.is_some())?;
    only("BootMode", boot_mode.as_deref(), &["legacy-bios"])?;
    only("VirtualizationType", virtualization_type.as_deref(), &["hvm"])?;
    Ok(RegisterRequest {
        name: name.unwrap_or_default(),
        description: description.unwrap_or_default(),
        location: image_location.ok_or_else(|| ApiError::missing_parameter("ImageLocation"))?,
        architecture: architecture.unwrap_or_else(|| ARCHITECTURE.into()),
        root_device_name: root_device_name.unwrap_or_else(|| ROOT_DEVICE_NAME.into()),
        tags: tags_of_one(tag_specifications, TAG_KIND)?,
        dry_run: dry_run == Some(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::wire_tags;

    fn account() -> AccountId {
        "123456789012".parse().unwrap()
    }

    fn row() -> ImageRow {
        ImageRow {
            id: ImageId::from_random(1),
            account_id: account(),
            name: "tiny".into(),
            description: "small".into(),
            location: "images/tiny.qcow2".into(),
            state: ImageState::Failed,
            state_reason: Some("the object is no disk image".into()),
            digest: None,
            format: None,
            size_bytes: None,
            virtual_size_bytes: None,
            architecture: "x86_64".into(),
            root_device_name: "/dev/vda".into(),
            is_public: true,
            created_ms: 1_700_000_000_000,
            deregistered_ms: None,
            disabled: false,
            deprecation_ms: None,
            protection: mallee_store::ImageProtection::Off,
            protected_until_ms: None,
        }
    }

    #[test]
    fn what_is_shown_is_what_is_filtered() {
        let id = row().id.to_string();
        let image = shape(row(), &mut TagMap::from([(id.clone(), wire_tags([("Env", "prod")]))]), 0);
        for (name, value) in [
            ("architecture", "x86_64"),
            ("boot-mode", "legacy-bios"),
            ("creation-date", "2023-11-14T22:13:20.000Z"),
            ("description", "small"),
            ("ena-support", "false"),
            ("image-id", id.as_str()),
            ("image-type", "machine"),
            ("is-public", "true"),
            ("manifest-location", "images/tiny.qcow2"),
            ("name", "tiny"),
            ("owner-id", "123456789012"),
            ("platform-details", "Linux/UNIX"),
            ("root-device-name", "/dev/vda"),
            ("root-device-type", "instance-store"),
            ("state", "failed"),
            ("state-reason-code", "Client.InvalidImage"),
            ("state-reason-message", "the object is no disk image"),
            ("tag-key", "Env"),
            ("tag:Env", "prod"),
            ("virtualization-type", "hvm"),
        ] {
            assert_eq!(image.values(name), [value], "{name}");
            assert!(name.starts_with("tag:") || FILTERS.contains(&name), "{name} is not offered");
        }
    }

    #[test]
    fn owners_and_executable_by() {
        let texts = |t: &[&str]| t.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(Owners::parse(&[], &account()).unwrap(), Owners(None));
        assert_eq!(Owners::parse(&texts(&["self"]), &account()).unwrap(), Owners(Some(vec![account()])));
        assert_eq!(Owners::parse(&texts(&["amazon"]), &account()).unwrap(), Owners(Some(vec![])));
        assert!(Owners::parse(&texts(&["me"]), &account()).is_err());
        assert_eq!(Executable::parse(&[], &account()).unwrap(), None);
        let parsed = Executable::parse(&texts(&["all", "self"]), &account()).unwrap();
        assert_eq!(parsed, Some(Executable { all: true, users: vec![account()] }));
        assert!(Executable::parse(&texts(&["everyone"]), &account()).is_err());
    }

    #[test]
    fn deprecated_images_of_others_and_disabled_ones_are_not_listed() {
        let other = "000000000009".parse().unwrap();
        let old = ImageRow { deprecation_ms: Some(5), ..row() };
        assert!(is_listed(&old, &account(), 6, false, false), "the owner sees it");
        assert!(is_listed(&old, &other, 4, false, false) && !is_listed(&old, &other, 5, false, false));
        assert!(is_listed(&old, &other, 5, true, false));
        let off = ImageRow { disabled: true, ..row() };
        assert!(!is_listed(&off, &account(), 0, false, false) && is_listed(&off, &account(), 0, false, true));
    }

    #[test]
    fn registering_refuses_by_name_what_it_cannot_keep() {
        let base = || RegisterImageRequest {
            name: Some("tiny".into()),
            image_location: Some("images/tiny".into()),
            ..Default::default()
        };
        let request = register_request(base()).unwrap();
        assert_eq!((request.architecture.as_str(), request.root_device_name.as_str()), ("x86_64", "/dev/vda"));
        let uefi = register_request(RegisterImageRequest { boot_mode: Some("uefi".into()), ..base() }).unwrap_err();
        assert!(uefi.message().contains("BootMode") && uefi.message().contains("legacy-bios"));
        let kernel = register_request(RegisterImageRequest { kernel_id: Some("aki-1".into()), ..base() }).unwrap_err();
        assert!(kernel.message().contains("KernelId"));
        let nowhere = register_request(RegisterImageRequest { image_location: None, ..base() }).unwrap_err();
        assert_eq!(nowhere.code(), Code::MissingParameter);
    }
}
