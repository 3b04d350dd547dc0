//! Virtual MFA devices.

use crate::IdentityApi;
use crate::parts::{Slice, labels, tag_page, time};
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::iam::mfa_devices::NewDevice;
use mallee_app::iam::users;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::iam::{
    CreateVirtualMFADeviceRequest, CreateVirtualMFADeviceResponse, DeactivateMFADeviceRequest,
    DeleteVirtualMFADeviceRequest, EnableMFADeviceRequest, GetMFADeviceRequest, GetMFADeviceResponse,
    ListMFADeviceTagsRequest, ListMFADeviceTagsResponse, ListMFADevicesRequest, ListMFADevicesResponse,
    ListVirtualMFADevicesRequest, ListVirtualMFADevicesResponse, MFADevice, ResyncMFADeviceRequest,
    TagMFADeviceRequest, UntagMFADeviceRequest, User, VirtualMFADevice,
};
use mallee_store::{
    FILTER_VALUES_MAX, MfaDeviceRow, UserRow, mfa_device_fetch, mfa_device_list, user_fetch, user_list_of,
};
use secrecy::ExposeSecret as _;
use std::collections::BTreeMap;

fn user(row: &UserRow) -> User {
    User {
        arn: Some(users::arn(row)),
        create_date: time(row.created_ms),
        path: Some(row.path.clone()),
        user_id: Some(row.id.clone()),
        user_name: Some(row.name.clone()),
        ..User::default()
    }
}

impl IdentityApi {
    async fn mfa_device(&self, cx: &OpContext, serial: &str) -> Result<MfaDeviceRow, ApiError> {
        mfa_device_fetch(self.store(), cx.account(), serial).await.or_fail()?.ok_or_else(|| {
            Code::NoSuchEntity.message(format!("VirtualMFADevice with serial number {serial} doesn't exist."))
        })
    }

    pub(crate) async fn create_virtual_mfa_device(
        &self,
        cx: &OpContext,
        r: CreateVirtualMFADeviceRequest,
    ) -> Result<CreateVirtualMFADeviceResponse, ApiError> {
        let CreateVirtualMFADeviceRequest { path, tags, virtual_mfa_device_name } = r;
        let name = virtual_mfa_device_name.unwrap_or_default();
        let shown_tags = tags.clone();
        let NewDevice { row, seed, picture } = self.cloud.create_mfa_device(cx, &name, path, &labels(tags)).await?;
        Ok(CreateVirtualMFADeviceResponse {
            virtual_mfa_device: Some(VirtualMFADevice {
                base32_string_seed: Some(seed.expose_secret().as_bytes().to_vec()),
                enable_date: None,
                qr_code_png: Some(picture),
                serial_number: Some(row.serial),
                tags: shown_tags,
                user: None,
            }),
        })
    }

    pub(crate) async fn enable_mfa_device(&self, cx: &OpContext, r: EnableMFADeviceRequest) -> Result<(), ApiError> {
        let EnableMFADeviceRequest { authentication_code1, authentication_code2, serial_number, user_name } = r;
        let codes = (&*authentication_code1.unwrap_or_default(), &*authentication_code2.unwrap_or_default());
        let (user, serial) = (user_name.unwrap_or_default(), serial_number.unwrap_or_default());
        self.cloud.enable_mfa_device(cx, &user, &serial, codes).await
    }

    pub(crate) async fn resync_mfa_device(&self, cx: &OpContext, r: ResyncMFADeviceRequest) -> Result<(), ApiError> {
        let ResyncMFADeviceRequest { authentication_code1, authentication_code2, serial_number, user_name } = r;
        let codes = (&*authentication_code1.unwrap_or_default(), &*authentication_code2.unwrap_or_default());
        let (user, serial) = (user_name.unwrap_or_default(), serial_number.unwrap_or_default());
        self.cloud.resync_mfa_device(cx, &user, &serial, codes).await
    }

    pub(crate) async fn deactivate_mfa_device(
        &self,
        cx: &OpContext,
        r: DeactivateMFADeviceRequest,
    ) -> Result<(), ApiError> {
        let DeactivateMFADeviceRequest { serial_number, user_name } = r;
        self.cloud.deactivate_mfa_device(cx, user_name.as_deref(), &serial_number.unwrap_or_default()).await
    }

    pub(crate) async fn delete_virtual_mfa_device(
        &self,
        cx: &OpContext,
        r: DeleteVirtualMFADeviceRequest,
    ) -> Result<(), ApiError> {
        let DeleteVirtualMFADeviceRequest { serial_number } = r;
        self.cloud.delete_mfa_device(cx, &serial_number.unwrap_or_default()).await
    }

    pub(crate) async fn get_mfa_device(
        &self,
        cx: &OpContext,
        r: GetMFADeviceRequest,
    ) -> Result<GetMFADeviceResponse, ApiError> {
        let GetMFADeviceRequest { serial_number, user_name } = r;
        let row = self.mfa_device(cx, &serial_number.unwrap_or_default()).await?;
        let owner = match &row.user_id {
            None => None,
            Some(id) => Some(user_fetch(self.store(), id).await.or_fail()?),
        };
        if let Some(name) = user_name {
            let wanted = users::find(self.store(), cx.account(), &name).await?;
            if row.user_id.as_ref() != Some(&wanted.id) {
                return Err(Code::NoSuchEntity
                    .message(format!("MFA Device with serial number {} is not enabled for user {name}.", row.serial)));
            }
        }
        Ok(GetMFADeviceResponse {
            certifications: Vec::new(),
            enable_date: row.enabled_ms.and_then(time),
            serial_number: Some(row.serial),
            user_name: owner.map(|user| user.name),
        })
    }

    pub(crate) async fn list_mfa_devices(
        &self,
        cx: &OpContext,
        r: ListMFADevicesRequest,
    ) -> Result<ListMFADevicesResponse, ApiError> {
        let ListMFADevicesRequest { marker, max_items, user_name } = r;
        let slice = Slice::new(marker.as_deref(), max_items)?;
        let owner = self.cloud.user_or_self(cx, user_name.as_deref()).await?;
        let after = slice.after.as_deref();
        let rows = mfa_device_list(self.store(), cx.account(), Some(&owner.id), None, after, slice.rows()).await;
        let page = slice.cut(rows.or_fail()?, |row| row.serial.clone());
        let shown = page.items.into_iter().map(|row| MFADevice {
            enable_date: row.enabled_ms.and_then(time),
            serial_number: Some(row.serial),
            user_name: Some(owner.name.clone()),
        });
        Ok(ListMFADevicesResponse {
            is_truncated: page.is_truncated,
            mfa_devices: shown.collect(),
            marker: page.marker,
        })
    }

    pub(crate) async fn list_virtual_mfa_devices(
        &self,
        cx: &OpContext,
        r: ListVirtualMFADevicesRequest,
    ) -> Result<ListVirtualMFADevicesResponse, ApiError> {
        let ListVirtualMFADevicesRequest { assignment_status, marker, max_items } = r;
        let enabled = match assignment_status.as_deref() {
            Some("Assigned") => Some(true),
            Some("Unassigned") => Some(false),
            _ => None,
        };
        let slice = Slice::new(marker.as_deref(), max_items)?;
        let after = slice.after.as_deref();
        let rows = mfa_device_list(self.store(), cx.account(), None, enabled, after, slice.rows()).await.or_fail()?;
        let page = slice.cut(rows, |row| row.serial.clone());
        let ids: Vec<String> = page.items.iter().filter_map(|row| row.user_id.clone()).collect();
        let mut owners = BTreeMap::new();
        for ids in ids.chunks(FILTER_VALUES_MAX) {
            let found = user_list_of(self.store(), cx.account(), ids).await.or_fail()?;
            owners.extend(found.into_iter().map(|row| (row.id.clone(), row)));
        }
        let shown = page.items.into_iter().map(|row| VirtualMFADevice {
            base32_string_seed: None,
            enable_date: row.enabled_ms.and_then(time),
            qr_code_png: None,
            serial_number: Some(row.serial),
            tags: Vec::new(),
            user: row.user_id.and_then(|id| owners.get(&id).map(user)),
        });
        Ok(ListVirtualMFADevicesResponse {
            is_truncated: page.is_truncated,
            marker: page.marker,
            virtual_mfa_devices: shown.collect(),
        })
    }

    pub(crate) async fn tag_mfa_device(&self, cx: &OpContext, r: TagMFADeviceRequest) -> Result<(), ApiError> {
        let TagMFADeviceRequest { serial_number, tags } = r;
        self.cloud.tag_mfa_device(cx, &serial_number.unwrap_or_default(), &labels(tags)).await
    }

    pub(crate) async fn untag_mfa_device(&self, cx: &OpContext, r: UntagMFADeviceRequest) -> Result<(), ApiError> {
        let UntagMFADeviceRequest { serial_number, tag_keys } = r;
        self.cloud.untag_mfa_device(cx, &serial_number.unwrap_or_default(), &tag_keys).await
    }

    pub(crate) async fn list_mfa_device_tags(
        &self,
        cx: &OpContext,
        r: ListMFADeviceTagsRequest,
    ) -> Result<ListMFADeviceTagsResponse, ApiError> {
        let ListMFADeviceTagsRequest { marker, max_items, serial_number } = r;
        let row = self.mfa_device(cx, &serial_number.unwrap_or_default()).await?;
        let page = tag_page(self.store(), &row.serial, marker.as_deref(), max_items).await?;
        Ok(ListMFADeviceTagsResponse { is_truncated: page.is_truncated, marker: page.marker, tags: page.items })
    }
}
