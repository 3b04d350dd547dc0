//! The simulated hypervisor.

use crate::config::SimFault;
use crate::console;
use crate::host::{SimDomain, SimHost};
use crate::screen;
use async_trait::async_trait;
use mallee_node_core::{
    DomainEvent, DomainRecord, DomainSpec, DomainState, HostFacts, Hypervisor, HypervisorError, NicSpec, Picture,
};
use mallee_types::{InstanceId, MacAddress};
use tokio::sync::broadcast;

/// Domains of a simulated host.
#[derive(Debug, Clone)]
pub struct SimHypervisor(SimHost);

impl SimHypervisor {
    /// The hypervisor of this machine.
    #[must_use]
    pub const fn new(host: SimHost) -> Self {
        Self(host)
    }

    /// One call: its latency, its fault before, its work, its fault after.
    async fn call<T>(
        &self,
        method: &'static str,
        work: impl FnOnce(&SimHost) -> Result<T, HypervisorError> + Send,
    ) -> Result<T, HypervisorError> {
        let text = || format!("{}: {method}: simulated failure", self.0.name());
        match self.0.call(method, self.0.config().hypervisor).await {
            Some(SimFault::Fail) => Err(HypervisorError::Failed(text())),
            Some(SimFault::Refuse) => Err(HypervisorError::Refused(text())),
            Some(SimFault::Exhausted) => Err(HypervisorError::Exhausted(text())),
            Some(SimFault::FailAfter) => work(&self.0).and_then(|_| Err(HypervisorError::Unavailable(text()))),
            Some(SimFault::Delay(_) | SimFault::Hang) | None => work(&self.0),
        }
    }
}

fn record((id, domain): (&InstanceId, &SimDomain)) -> DomainRecord {
    let heard = domain.state == DomainState::Running && !domain.silent;
    DomainRecord {
        instance: id.clone(),
        incarnation: domain.incarnation,
        state: domain.state,
        heard,
        nics: domain.nics.clone(),
    }
}

fn no_domain(id: &InstanceId) -> HypervisorError {
    HypervisorError::Failed(format!("{id} has no domain"))
}

fn start(host: &SimHost, spec: &DomainSpec) -> Result<(), HypervisorError> {
    let id = &spec.instance;
    host.with(|state| {
        if !state.disks.contains_key(id) {
            return Err(HypervisorError::Failed(format!("{id} has no root disk")));
        }
        if let Some(there) = state.domains.get(id) {
            if there.incarnation > spec.incarnation {
                return Err(HypervisorError::Refused(format!("{id} is here in a newer incarnation")));
            }
            let on = !matches!(there.state, DomainState::Off { .. });
            if there.incarnation == spec.incarnation && on {
                return Ok(());
            }
        }
        let on = |d: &&SimDomain| !matches!(d.state, DomainState::Off { .. });
        let used: u64 = state.domains.values().filter(on).map(|d| d.memory_mib).sum();
        if used + spec.memory_mib > host.config().memory_mib {
            let (name, most) = (host.name(), host.config().memory_mib);
            return Err(HypervisorError::Exhausted(format!("{name}: {used} of {most} MiB of memory are in use")));
        }
        for nic in &spec.nics {
            if !state.ports.values().any(|port| port.tap == nic.tap && !port.plugged) {
                return Err(HypervisorError::Failed(format!("{id}: tap {} does not exist", nic.tap)));
            }
        }
        let boots = state.domains.get(id).map_or(0, |d| d.boots);
        let domain = SimDomain {
            incarnation: spec.incarnation,
            state: DomainState::Paused,
            vcpus: spec.vcpus,
            memory_mib: spec.memory_mib,
            taps: spec.nics.iter().map(|nic| nic.tap.clone()).collect(),
            nics: spec.nics.iter().map(|nic| nic.mac).collect(),
            image: spec.image.digest.clone(),
            boots,
            resets: 0,
            presses: 0,
            interrupts: 0,
            silent: false,
        };
        state.domains.insert(id.clone(), domain);
        Ok(())
    })
}

#[async_trait]
impl Hypervisor for SimHypervisor {
    async fn facts(&self) -> Result<HostFacts, HypervisorError> {
        self.call("facts", |host| {
            let config = host.config();
            Ok(HostFacts {
                description: "simulated".to_owned(),
                vcpus: config.vcpus,
                memory_mib: config.memory_mib,
                disk_bytes: config.disk_bytes,
                warnings: Vec::new(),
            })
        })
        .await
    }

    async fn domains(&self) -> Result<Vec<DomainRecord>, HypervisorError> {
        self.call("domains", |host| Ok(host.with(|state| state.domains.iter().map(record).collect()))).await
    }

    async fn domain(&self, id: &InstanceId) -> Result<Option<DomainRecord>, HypervisorError> {
        self.call("domain", |host| Ok(host.domain(id).map(|domain| record((id, &domain))))).await
    }

    async fn prepare_disk(&self, spec: &DomainSpec) -> Result<(), HypervisorError> {
        self.call("prepare_disk", |host| {
            host.with(|state| {
                if state.disks.contains_key(&spec.instance) {
                    return Ok(());
                }
                if !state.images.contains(&spec.image.digest) {
                    return Err(HypervisorError::Failed(format!("image {} is not here", spec.image.digest)));
                }
                let used: u64 = state.disks.values().sum();
                if used + spec.root_disk_bytes > host.config().disk_bytes {
                    let (name, most) = (host.name(), host.config().disk_bytes);
                    return Err(HypervisorError::Exhausted(format!(
                        "{name}: {used} of {most} bytes of disk are in use"
                    )));
                }
                state.disks.insert(spec.instance.clone(), spec.root_disk_bytes);
                Ok(())
            })
        })
        .await
    }

    async fn start_paused(&self, spec: &DomainSpec) -> Result<(), HypervisorError> {
        self.call("start_paused", |host| {
            start(host, spec)?;
            host.changed(&spec.instance);
            Ok(())
        })
        .await
    }

    async fn resume(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.call("resume", |host| {
            let state = host.with(|state| {
                let domain = state.domains.get_mut(id)?;
                let before = domain.state;
                if before == DomainState::Paused {
                    domain.state = DomainState::Running;
                    domain.boots += 1;
                }
                Some(before)
            });
            match state {
                Some(DomainState::Paused) => host.booted(id),
                Some(DomainState::Running) => {}
                Some(DomainState::Off { .. }) => return Err(HypervisorError::Failed(format!("{id} is off"))),
                None => return Err(no_domain(id)),
            }
            Ok(())
        })
        .await
    }

    async fn attach_nic(&self, id: &InstanceId, nic: &NicSpec) -> Result<(), HypervisorError> {
        self.call("attach_nic", |host| {
            host.with(|state| {
                let there = state.ports.values().any(|port| port.tap == nic.tap && !port.plugged);
                let domain = state.domains.get_mut(id).ok_or_else(|| no_domain(id))?;
                if matches!(domain.state, DomainState::Off { .. }) {
                    return Err(HypervisorError::Failed(format!("{id} is off")));
                }
                if domain.nics.contains(&nic.mac) {
                    return Ok(());
                }
                if !there {
                    return Err(HypervisorError::Failed(format!("{id}: tap {} does not exist", nic.tap)));
                }
                domain.taps.push(nic.tap.clone());
                domain.nics.push(nic.mac);
                Ok(())
            })
        })
        .await
    }

    async fn detach_nic(&self, id: &InstanceId, mac: MacAddress) -> Result<(), HypervisorError> {
        self.call("detach_nic", |host| {
            host.with(|state| {
                let Some(domain) = state.domains.get_mut(id) else { return };
                if let Some(at) = domain.nics.iter().position(|nic| *nic == mac) {
                    domain.nics.remove(at);
                    domain.taps.remove(at);
                }
            });
            Ok(())
        })
        .await
    }

    async fn shutdown(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.call("shutdown", |host| {
            let first = host.with(|state| {
                let domain = state.domains.get_mut(id).ok_or_else(|| no_domain(id))?;
                domain.presses += 1;
                Ok::<_, HypervisorError>(domain.presses == 1)
            })?;
            let guest = host.guest(id);
            if first && !guest.ignores_shutdown {
                host.later(id, guest.shutdown_takes, false);
            }
            Ok(())
        })
        .await
    }

    async fn power_off(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.call("power_off", |host| {
            host.with(|state| {
                if let Some(domain) = state.domains.get_mut(id) {
                    domain.state = DomainState::Off { crashed: false };
                    domain.unwire();
                }
            });
            host.changed(id);
            Ok(())
        })
        .await
    }

    async fn reboot(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.call("reboot", |host| {
            let first = host.with(|state| match state.domains.get_mut(id) {
                Some(domain) if domain.state == DomainState::Running => {
                    domain.presses += 1;
                    Ok(domain.presses == 1)
                }
                Some(_) => Err(HypervisorError::Failed(format!("{id} is not running"))),
                None => Err(no_domain(id)),
            })?;
            let guest = host.guest(id);
            if first && !guest.ignores_shutdown {
                host.reboots(id, guest.shutdown_takes);
            }
            Ok(())
        })
        .await
    }

    async fn reset(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.call("reset", |host| {
            if host.restart(id, None) {
                return Ok(());
            }
            match host.domain(id) {
                Some(_) => Err(HypervisorError::Failed(format!("{id} is not running"))),
                None => Err(no_domain(id)),
            }
        })
        .await
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.call("remove", |host| {
            host.with(|state| {
                state.domains.remove(id);
                state.disks.remove(id);
            });
            host.forget_guest(id);
            host.changed(id);
            Ok(())
        })
        .await
    }

    async fn disks(&self) -> Result<Vec<InstanceId>, HypervisorError> {
        self.call("disks", |host| Ok(host.with(|state| state.disks.keys().cloned().collect()))).await
    }

    async fn console(&self, id: &InstanceId) -> Result<Vec<u8>, HypervisorError> {
        self.call("console", |host| match host.domain(id) {
            Some(domain) => Ok(console::text(id, &domain).into_bytes()),
            None => Ok(Vec::new()),
        })
        .await
    }

    async fn screenshot(&self, id: &InstanceId) -> Result<Picture, HypervisorError> {
        self.call("screenshot", |host| match host.domain(id) {
            Some(domain) if !matches!(domain.state, DomainState::Off { .. }) => Ok(screen::draw(id, &domain)),
            Some(_) | None => Err(HypervisorError::Refused(format!("{id} is not running"))),
        })
        .await
    }

    async fn interrupt(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.call("interrupt", |host| {
            host.with(|state| match state.domains.get_mut(id) {
                Some(domain) if domain.state == DomainState::Running => {
                    domain.interrupts += 1;
                    Ok(())
                }
                Some(_) | None => Err(HypervisorError::Refused(format!("{id} is not running"))),
            })
        })
        .await
    }

    fn subscribe(&self) -> broadcast::Receiver<DomainEvent> {
        self.0.events()
    }
}
