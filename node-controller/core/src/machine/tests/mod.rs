//! The machine in a model world: one domain, one disk, one port, effects that happen at once (or fail, or are cut off
//! by a crash of the node controller).

use super::*;
use crate::hypervisor::DomainState;
use mallee_proto::v1::{DomainPhase, InstanceObservation, InstanceSpec, RunIntent as Intent};
use mallee_types::MacAddress;

mod cards;
mod life;
mod random;

const ID: &str = "i-00000000000000001";
const RUN: Intent = Intent::Run;
const STOP: Intent = Intent::Stop;
const TERMINATE: Intent = Intent::Terminate;
const ON: DomainState = DomainState::Running;
const OFF: DomainState = DomainState::Off { crashed: false };
const CRASHED: DomainState = DomainState::Off { crashed: true };

fn patience() -> Patience {
    Patience {
        shutdown_grace_ms: 60_000,
        reboot_grace_ms: 60_000,
        repress_ms: 10_000,
        terminate_grace_ms: 5_000,
        launch_deadline_ms: 600_000,
        crash_restarts_max: 3,
        crash_window_ms: 600_000,
        retry_first_ms: 200,
        retry_most_ms: 15_000,
    }
}

/// The address of the nth card.
fn mac(n: u8) -> MacAddress {
    MacAddress([2, 2, 2, 2, 2, n])
}

fn view(n: u8) -> PortView {
    PortView { interface_id: format!("eni-{n}"), incarnation: 1, mac: mac(n).to_string(), ..Default::default() }
}

fn intent(generation: u64, run: Intent) -> InstanceIntent {
    let port = mallee_proto::v1::Port { interface_id: "eni-1".into(), mac: mac(1).to_string(), ..Default::default() };
    let image = mallee_proto::v1::Image { digest: "d".into(), ..Default::default() };
    InstanceIntent {
        id: ID.into(),
        generation,
        incarnation: 1,
        intent: run.into(),
        spec: Some(InstanceSpec { ports: vec![port], image: Some(image), ..Default::default() }),
        ..Default::default()
    }
}

fn nics(ports: &[PortView]) -> Vec<NicSpec> {
    let nic = |port: &PortView| NicSpec { tap: port.interface_id.clone(), mac: port.mac.parse().unwrap(), mtu: 1450 };
    ports.iter().map(nic).collect()
}

struct World {
    machine: Machine,
    saved: Record,
    domain: Option<DomainRecord>,
    disk: bool,
    tap: bool,
    plugged: bool,
    /// The ports there are to be.
    ports: Vec<u8>,
    /// Cards whose taps were made for a domain that runs.
    hot: Vec<MacAddress>,
    resets: u32,
    now: u64,
    log: Vec<Effect>,
    fail: Vec<(Effect, StepError)>,
    obeys: bool,
    /// Until then the guest does not hear its power button.
    deaf_until: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            machine: Self::machine(Record::default()),
            saved: Record::default(),
            domain: None,
            disk: false,
            tap: false,
            plugged: false,
            ports: vec![1],
            hot: vec![],
            resets: 0,
            now: 0,
            log: vec![],
            fail: vec![],
            obeys: true,
            deaf_until: 0,
        };
        world.port_ready(true);
        world
    }

    fn machine(record: Record) -> Machine {
        Machine::new(ID.parse().unwrap(), "node-1".into(), Arc::new(patience()), record)
    }

    fn port_ready(&mut self, ready: bool) {
        let ports = self.ports.iter().map(|n| view(*n)).collect();
        self.machine.set_ports(if ready { Ports::Ready(ports) } else { Ports::missing("not yet") });
    }

    /// The node controller dies and comes back with what it had recorded.
    fn restart(&mut self) {
        self.machine = Self::machine(self.saved.clone());
        self.now = 0;
        self.port_ready(true);
    }

    fn order(&mut self, intent: InstanceIntent) -> Taken {
        let taken = self.machine.order(Arc::new(intent));
        if self.plugged || self.domain.is_some() || taken == Taken::Yes {
            self.port_ready(true);
        }
        taken
    }

    fn set_domain(&mut self, state: DomainState) {
        let incarnation = self.domain.as_ref().map_or(self.machine.incarnation(), |d| d.incarnation);
        let nics = self.domain.as_ref().map_or_else(Vec::new, |d| d.nics.clone());
        self.domain = Some(DomainRecord { instance: ID.parse().unwrap(), incarnation, state, heard: false, nics });
        if matches!(state, DomainState::Off { .. }) {
            self.plugged = false;
            self.domain.as_mut().unwrap().nics.clear();
            self.tap = false;
        }
        self.machine.look();
    }

    fn execute(&mut self, effect: Effect) -> Result<Done, StepError> {
        if let Some(at) = self.fail.iter().position(|(e, _)| *e == effect) {
            return Err(self.fail.remove(at).1);
        }
        let broken = |what: &str| StepError { class: StepClass::Transient, code: "X", message: what.into() };
        let state = self.domain.as_ref().map(|d| d.state);
        match effect {
            Effect::Save => self.saved = self.machine.to_record(),
            Effect::Observe => return Ok(Done::Domain(self.domain.clone())),
            Effect::EnsureImage => {
                let image = CachedImage { digest: "d".into(), path: "/d".into(), format: "raw".into() };
                return Ok(Done::Image(image));
            }
            Effect::AcquireSlot => {}
            Effect::PrepareDisk => self.disk = true,
            Effect::CreateTaps => {
                self.tap = true;
                return Ok(Done::Taps(nics(self.machine.ready_ports())));
            }
            Effect::StartPaused => {
                if !self.disk || !self.tap {
                    return Err(broken("no disk or tap"));
                }
                if state.is_none() || matches!(state, Some(DomainState::Off { .. })) {
                    self.domain = None;
                    let incarnation = self.machine.incarnation();
                    let (instance, state) = (ID.parse().unwrap(), DomainState::Paused);
                    let nics = self.machine.nics().iter().map(|nic| nic.mac).collect();
                    self.domain = Some(DomainRecord { instance, incarnation, state, heard: false, nics });
                }
            }
            Effect::Plug if self.tap => self.plugged = true,
            Effect::Plug => return Err(broken("no tap")),
            Effect::HotTaps => {
                let made = nics(&self.machine.missing_ports());
                self.hot = made.iter().map(|nic| nic.mac).collect();
                return Ok(Done::Taps(made));
            }
            Effect::AttachCards => {
                let given: Vec<MacAddress> = self.machine.hot_nics().iter().map(|nic| nic.mac).collect();
                assert!(given.iter().all(|mac| self.hot.contains(mac)), "a card without a tap");
                self.domain.as_mut().ok_or_else(|| broken("no domain"))?.nics.extend(given);
            }
            Effect::DetachCards => {
                let extra = self.machine.extra_cards();
                self.domain.as_mut().ok_or_else(|| broken("no domain"))?.nics.retain(|nic| !extra.contains(nic));
            }
            Effect::Resume => match &mut self.domain {
                Some(d) if d.state == DomainState::Paused => {
                    assert!(self.plugged, "the guest runs before its port is plugged");
                    assert!(self.saved.started, "the guest runs before that is recorded");
                    d.state = ON;
                }
                Some(d) if d.state == ON => {}
                _ => return Err(broken("off")),
            },
            Effect::Reboot if self.obeys => {
                self.resets += 1;
                self.machine.rebooted();
            }
            Effect::Reboot => {}
            Effect::Reset => self.resets += 1,
            Effect::Shutdown if self.obeys && self.now >= self.deaf_until => self.set_domain(OFF),
            Effect::Shutdown => {}
            Effect::PowerOff => {
                if self.domain.is_some() {
                    self.set_domain(OFF);
                }
            }
            Effect::Unplug => {
                self.plugged = false;
                self.tap = false;
            }
            Effect::Remove => {
                self.domain = None;
                self.disk = false;
            }
        }
        Ok(Done::Plain)
    }

    /// One effect, or a jump to when the machine wants to be woken. False: it waits for something to happen.
    fn step(&mut self) -> bool {
        match self.machine.next(self.now) {
            Next::Do(effect) => {
                self.log.push(effect);
                let ports = self.machine.present_ports();
                let result = self.execute(effect);
                self.machine.finished_step(result, &ports, self.now);
                true
            }
            Next::Wait(Some(until)) => {
                assert!(until > self.now, "wakes without time passing");
                self.now = until;
                true
            }
            Next::Wait(None) => false,
        }
    }

    fn settle(&mut self) -> InstanceObservation {
        for _ in 0..2000 {
            if !self.step() {
                return self.machine.observation().expect("a settled machine has something to say");
            }
        }
        panic!("the machine does not come to rest: {:?}", &self.log[self.log.len() - 40..]);
    }

    fn launched() -> Self {
        let mut world = Self::new();
        world.order(intent(1, RUN));
        let seen = world.settle();
        assert_eq!(seen.phase(), DomainPhase::Running);
        world.log.clear();
        world
    }

    fn state(&self) -> Option<DomainState> {
        self.domain.as_ref().map(|d| d.state)
    }
}

fn error(class: StepClass) -> StepError {
    StepError { class, code: "Server.InternalError", message: "it broke".into() }
}
