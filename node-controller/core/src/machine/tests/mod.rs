//! The machine in a model world: one domain, one disk, one port, effects that happen at once (or fail, or are cut off
//! by a crash of the node controller).

use super::*;
use crate::hypervisor::DomainState;
use mallee_proto::v1::{DomainPhase, InstanceObservation, InstanceSpec, RunIntent as Intent};

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

fn intent(generation: u64, run: Intent) -> InstanceIntent {
    let port = mallee_proto::v1::Port { interface_id: "eni-1".into(), ..Default::default() };
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

struct World {
    machine: Machine,
    saved: Record,
    domain: Option<DomainRecord>,
    disk: bool,
    tap: bool,
    plugged: bool,
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
        let port = PortView { interface_id: "eni-1".into(), incarnation: 1, ..Default::default() };
        self.machine.set_ports(if ready { Ports::Ready(vec![port]) } else { Ports::Missing("not yet".into()) });
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
        self.domain = Some(DomainRecord { instance: ID.parse().unwrap(), incarnation, state, heard: false });
        if matches!(state, DomainState::Off { .. }) {
            self.plugged = false;
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
                let nic = NicSpec { tap: "t".into(), mac: mallee_types::MacAddress([2; 6]), mtu: 1450 };
                return Ok(Done::Taps(vec![nic]));
            }
            Effect::StartPaused => {
                if !self.disk || !self.tap {
                    return Err(broken("no disk or tap"));
                }
                if state.is_none() || matches!(state, Some(DomainState::Off { .. })) {
                    self.domain = None;
                    let incarnation = self.machine.incarnation();
                    let instance = ID.parse().unwrap();
                    self.domain =
                        Some(DomainRecord { instance, incarnation, state: DomainState::Paused, heard: false });
                }
            }
            Effect::Plug if self.tap => self.plugged = true,
            Effect::Plug => return Err(broken("no tap")),
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
                let ports = self.machine.ready_ports().to_vec();
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
