//! The steps of an apply that concern public addresses: withdrawn before anything of their way goes, offered when it stands.

use super::{KernelNetwork, State};
use crate::edge::{self, EdgeWant};
use crate::exec::inside;
use crate::{ns, public_link};
use mallee_node_core::network::NetworkError;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

impl KernelNetwork {
    pub(super) fn offered(&self, change: impl FnOnce(&mut BTreeSet<IpAddr>)) {
        change(&mut self.offered.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// Ends answering for public addresses that are not wanted any more: before anything of their way goes, and whatever
    /// of the rest cannot be applied.
    pub(super) async fn withdraw(&self, state: &mut State, look: bool) -> Result<(), NetworkError> {
        let want = EdgeWant::of(&state.model, &self.names);
        if state.edge.as_ref() == Some(&want) && !look {
            return Ok(());
        }
        // What follows may never come to the edge.
        state.edge = None;
        self.step("withdraw").await?;
        self.offered(|offered| offered.retain(|address| want.device(*address).is_some()));
        let (config, names) = (Arc::clone(&self.config), self.names.clone());
        inside(self.host(), move || public_link::withdraw(&want, &config, &names)).await?;
        self.step("withdrawn").await
    }

    /// Which public addresses wait, as another host answers for them, and why.
    pub(super) async fn apply_edge(
        &self,
        state: &mut State,
        look: bool,
    ) -> Result<BTreeMap<IpAddr, String>, NetworkError> {
        let want = EdgeWant::of(&state.model, &self.names);
        let same = state.edge.as_ref() == Some(&want);
        if same && !look {
            return Ok(BTreeMap::new());
        }
        let (mut held, mut all) = (BTreeMap::new(), true);
        state.edge = None;
        self.step("edge").await?;
        if want.is_empty() {
            // First look of this process, or the last public address has gone.
            let names = self.names.clone();
            inside(self.host(), move || edge::remove(&names)).await?;
        } else {
            let name = self.names.edge_ns();
            inside(None, move || ns::ensure(&name)).await?;
            let (wanted, config, names) = (want.clone(), Arc::clone(&self.config), self.names.clone());
            inside(self.host(), move || edge::converge_host(&wanted, &config, &names)).await?;
            self.step("public").await?;
            let (config, names) = (Arc::clone(&self.config), want.clone());
            inside(Some(&self.names.edge_ns()), move || edge::converge_edge(&names, &config)).await?;
            self.step("offer").await?;
            let standing: BTreeSet<String> = state.done.keys().map(|vpc| self.names.edge_link(vpc)).collect();
            all = want.addresses().all(|(_, device)| standing.contains(device));
            let (after, config, names) = (want.clone(), Arc::clone(&self.config), self.names.clone());
            let offered = inside(self.host(), move || public_link::offer(&after, &standing, &config, &names)).await?;
            self.offered(|all| all.extend(&offered.fresh));
            public_link::say_again(&self.config, offered.fresh, Arc::downgrade(&self.offered));
            held = offered.held;
        }
        state.edge = Some(want).filter(|_| all && held.is_empty());
        Ok(held)
    }
}
