//! Flow logs in the model: whose traffic is to be recorded.

use crate::Model;
use crate::model::release;
use mallee_proto::v1::{FlowLog, PortView};

impl Model {
    /// Adds or changes a flow log; an older generation than the one held changes nothing.
    pub fn set_flow_log(&mut self, log: FlowLog) {
        if self.flow_logs.get(&log.id).is_some_and(|held| held.generation >= log.generation) {
            return;
        }
        self.remove_flow_log(&log.id);
        *self.logged.entry(log.resource_id.clone()).or_default() += 1;
        self.touch_nodes_of_vpc(&log.vpc_id);
        self.flow_logs.insert(log.id.clone(), log);
    }

    /// Removes a flow log.
    pub fn remove_flow_log(&mut self, id: &str) {
        if let Some(log) = self.flow_logs.remove(id) {
            release(&mut self.logged, &log.resource_id);
            self.touch_nodes_of_vpc(&log.vpc_id);
        }
    }

    /// Whether a flow log wants the traffic of a port.
    pub(crate) fn is_logged(&self, vpc: &str, port: &PortView) -> bool {
        let has = |id: &str| self.logged.contains_key(id);
        !self.logged.is_empty() && (has(vpc) || has(&port.subnet_id) || has(&port.interface_id))
    }
}
