//! The service over a real database, without cluster controllers, and two accounts.

use mallee_api_ec2::Ec2Api;
use mallee_app::test_support::{self, config};
use mallee_app::{Actor, CloudConfig, OpContext};
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Params};
use mallee_runtime::Faults;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::net::Ipv4Addr;

pub struct Fixture {
    api: Ec2Api,
    pub cloud: std::sync::Arc<mallee_app::Cloud>,
    pub cx: OpContext,
    /// Of another account, which administers nothing.
    pub other: OpContext,
    pub store: Store,
    pub faults: Faults,
    pub db: TestDb,
}

fn actor(account: AccountId, is_admin: bool) -> Actor {
    Actor::root(account, is_admin)
}

impl Fixture {
    pub async fn new() -> Self {
        Self::on(TestDb::sqlite().await).await
    }

    pub async fn on(db: TestDb) -> Self {
        Self::with(db, config()).await
    }

    pub async fn with(db: TestDb, config: CloudConfig) -> Self {
        let store = db.open().await;
        let faults = Faults::recording();
        let cloud = test_support::cloud(&db, &store, config, faults.clone());
        let access = mallee_app::bootstrap::bootstrap(&cloud).await.unwrap();
        let cx = OpContext::new(actor(access.account, true), "req-1");
        let other = OpContext::new(actor("000000000002".parse().unwrap(), false), "req-1");
        Self { api: Ec2Api::new(cloud.clone()), cloud, cx, other, store, faults, db }
    }

    /// What every start of the cloud does.
    pub async fn start_again(&self) {
        mallee_app::bootstrap::bootstrap(&self.cloud).await.unwrap();
    }

    pub async fn call_as(
        &self,
        cx: &OpContext,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Element, ApiError> {
        let common = [("Action", action), ("Version", "2016-11-15")];
        let params = Params::from_pairs(common.into_iter().chain(parameters.iter().copied())).unwrap();
        let xml = self.api.call(cx, action, &params).await?;
        Ok(Element::parse(xml.as_bytes(), XmlLimits::bytes(1 << 20)).unwrap())
    }

    pub async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Element, ApiError> {
        self.call_as(&self.cx, action, parameters).await
    }

    pub async fn texts(&self, action: &str, parameters: &[(&str, &str)], element: &str) -> Vec<String> {
        texts(&self.call(action, parameters).await.unwrap(), element)
    }

    pub async fn error_as(&self, cx: &OpContext, action: &str, parameters: &[(&str, &str)]) -> (&'static str, String) {
        let error = self.call_as(cx, action, parameters).await.unwrap_err();
        (error.code().as_str(), error.message().to_owned())
    }

    pub async fn error(&self, action: &str, parameters: &[(&str, &str)]) -> (&'static str, String) {
        self.error_as(&self.cx, action, parameters).await
    }

    /// An instance as a launch and its node leave it.
    pub async fn instance(&self, n: u128, state: InstanceState) -> InstanceId {
        let account = self.cx.account();
        let subnet = subnet_list(&self.store, account, None, None, None, 1).await.unwrap().remove(0);
        let group = security_group_list(&self.store, account, Default::default(), 1).await.unwrap().remove(0);
        let mut tx = self.store.write().await.unwrap();
        let row = InstanceRow {
            id: InstanceId::from_random(n),
            account_id: account.clone(),
            reservation_id: ReservationId::from_random(n),
            launch_index: 0,
            zone: subnet.zone.clone(),
            node_id: None,
            instance_type: "t3.nano".into(),
            image_id: ImageId::from_random(1),
            vpc_id: subnet.vpc_id.clone(),
            subnet_id: subnet.id.clone(),
            key_name: None,
            intent: if state == InstanceState::Stopped { RunIntent::Stop } else { RunIntent::Run },
            generation: Generation(1),
            incarnation: Incarnation(1),
            reboot_seq: 0,
            observed_phase: DomainPhase::Running,
            observed_generation: Generation(1),
            observed_incarnation: Incarnation(1),
            observed_network: true,
            observed_reboot_seq: 0,
            state,
            state_reason_code: None,
            state_reason_message: None,
            transition_reason: String::new(),
            released: false,
            launch_ms: 1_700_000_000_000,
            state_changed_ms: 1_700_000_000_000,
            terminated_ms: None,
            client_token: None,
            doc: InstanceDoc { vcpus: 2, memory_mib: 512, tenancy: "default".into(), ..Default::default() },
        };
        instance_insert(&mut tx, &row, Some(b"#!/bin/sh")).await.unwrap();
        let address = u32::from(subnet.cidr.network()) + u32::try_from(n).unwrap() + 10;
        let interface = InterfaceRow {
            id: InterfaceId::from_random(n),
            account_id: account.clone(),
            vpc_id: subnet.vpc_id.clone(),
            subnet_id: subnet.id.clone(),
            zone: subnet.zone.clone(),
            mac: MacAddress::from_random(u64::try_from(n).unwrap()),
            private_ip: Ipv4Addr::from(address),
            instance_id: Some(row.id.clone()),
            attachment_id: Some(AttachmentId::from_random(n)),
            device_index: Some(0),
            source_dest_check: true,
            delete_on_termination: true,
            description: String::new(),
            created_ms: 1_700_000_000_000,
            kind: InterfaceKind::Interface,
        };
        interface_insert(&mut tx, &interface, std::slice::from_ref(&group.id)).await.unwrap();
        tx.commit().await.unwrap();
        row.id
    }

    pub async fn row(&self, id: &InstanceId) -> InstanceRow {
        instance_fetch(&self.store, id).await.unwrap()
    }

    /// An image that can be started.
    pub async fn image(&self, name: &str) -> String {
        let new = [("Name", name), ("ImageLocation", "images/x")];
        let id: ImageId = self.texts("RegisterImage", &new, "imageId").await.remove(0).parse().unwrap();
        let mut tx = self.store.write().await.unwrap();
        let row = image_fetch(&mut tx, &id).await.unwrap();
        image_update(&mut tx, ImageState::Pending, &ImageRow { state: ImageState::Available, ..row }).await.unwrap();
        tx.commit().await.unwrap();
        id.to_string()
    }
}

/// The texts of all elements of this name.
pub fn texts(element: &Element, name: &str) -> Vec<String> {
    let mut out = Vec::new();
    for child in &element.children {
        if child.name == name && child.children.is_empty() {
            out.push(child.text.clone());
        }
        out.extend(texts(child, name));
    }
    out
}
