//! Whether a domain has the network cards that its orders say, and what brings it there while it runs.
//!
//! A card that is missing: tap → card into the domain → port plugged. One too many: card out of the domain; its tap went
//! with the view that names the port no more. Cards are told by their MAC. New ones first: a guest that does not let an
//! old one go keeps nothing else waiting; nor does a card that cannot be had.

use super::{Effect, Machine, Ports, Seen};
use mallee_proto::v1::{InstanceObservation, PortView};
use mallee_types::MacAddress;

fn mac(port: &PortView) -> Option<MacAddress> {
    port.mac.parse().ok()
}

impl Machine {
    /// The cards that the domain holds.
    fn cards(&self) -> &[MacAddress] {
        match &self.domain {
            Seen::Is(domain) => &domain.nics,
            Seen::Absent | Seen::Unknown => &[],
        }
    }

    /// Ports that are applied and whose card the domain has: what [`Effect::Plug`] plugs.
    #[must_use]
    pub fn present_ports(&self) -> Vec<PortView> {
        let present = |port: &&PortView| mac(port).is_some_and(|mac| self.cards().contains(&mac));
        self.applied_ports().iter().filter(present).cloned().collect()
    }

    /// The addresses of the cards that the orders name.
    fn ordered_cards(&self) -> Vec<MacAddress> {
        let ports = self.intent.iter().filter_map(|intent| intent.spec.as_ref()).flat_map(|spec| &spec.ports);
        ports.filter_map(|port| port.mac.parse().ok()).collect()
    }

    /// Whether every card that the domain has by its orders is plugged: one that is still to come takes nothing from the
    /// others.
    pub(super) fn network_applied(&self) -> bool {
        let Some(plugged) = &self.plugged else { return false };
        let plugged: Vec<MacAddress> = plugged.iter().filter_map(mac).collect();
        let ordered = self.ordered_cards();
        let mut here = ordered.iter().filter(|mac| self.cards().contains(mac)).peekable();
        (ordered.is_empty() || here.peek().is_some()) && here.all(|mac| plugged.contains(mac))
    }

    /// Ports for which the domain has no card.
    #[must_use]
    pub fn missing_ports(&self) -> Vec<PortView> {
        let missing = |port: &&PortView| mac(port).is_some_and(|mac| !self.cards().contains(&mac));
        self.ready_ports().iter().filter(missing).cloned().collect()
    }

    /// Cards of the domain for which there is no port; none while the ports are not all known.
    #[must_use]
    pub fn extra_cards(&self) -> Vec<MacAddress> {
        let Ports::Ready(ports) = &self.ports else { return Vec::new() };
        let wanted: Vec<MacAddress> = ports.iter().filter_map(mac).collect();
        self.cards().iter().filter(|card| !wanted.contains(card)).copied().collect()
    }

    /// Whether the domain has exactly the cards of its ports.
    pub(super) fn cards_fit(&self) -> bool {
        self.missing_ports().is_empty() && self.extra_cards().is_empty()
    }

    /// Whether the taps that were made are those of the ports, in their order.
    pub(super) fn taps_fit(&self) -> bool {
        let wanted = self.ready_ports().iter().filter_map(mac);
        self.nics().iter().map(|nic| nic.mac).eq(wanted)
    }

    /// The next step to the ports of a running domain; `None` when it has them, or no more can be done. What it has is
    /// plugged first: neither a card that cannot be had nor one that the guest keeps takes the network from the others.
    pub(super) fn plan_ports(&self) -> Option<Effect> {
        let (known, present) = (matches!(self.ports, Ports::Ready(_)), self.present_ports());
        if (known || !present.is_empty()) && self.plugged.as_ref() != Some(&present) {
            return Some(Effect::Plug);
        }
        if !known {
            return None;
        }
        let (missing, extra) = (self.missing_ports(), self.extra_cards());
        let failed = matches!(self.retry.last, Some((Effect::HotTaps | Effect::AttachCards, _)));
        if missing.is_empty() || (failed && !extra.is_empty()) {
            return (!extra.is_empty()).then_some(Effect::DetachCards);
        }
        let made = self.hot.iter().map(|nic| Some(nic.mac)).eq(missing.iter().map(mac));
        Some(if made { Effect::AttachCards } else { Effect::HotTaps })
    }

    /// The generation whose ports are what the domain has; 0: not the one ordered.
    pub(super) fn ports_generation(&self, stopped: bool) -> u64 {
        let all = self.is_running() && matches!(self.ports, Ports::Ready(_)) && self.plan_ports().is_none();
        if all || stopped { self.generation() } else { 0 }
    }

    /// Says of each card of a domain that has not exactly those of its ports how it is.
    pub(super) fn report_cards(&self, report: &mut InstanceObservation) {
        if report.ports_generation == 0 && self.is_running() && self.intent.is_some() {
            let ordered = self.ordered_cards();
            report.cards_generation = self.generation();
            report.attached = self.plugged.iter().flatten().map(|port| port.interface_id.clone()).collect();
            let lingering = self.cards().iter().filter(|card| !ordered.contains(card));
            report.lingering = lingering.map(ToString::to_string).collect();
        }
    }
}
