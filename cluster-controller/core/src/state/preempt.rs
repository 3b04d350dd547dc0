//! Room for launches that find none: which spot instances would have to go. Nothing happens to them here; the cloud
//! gives them their notice.

use super::groups::strategy_of;
use super::{ClusterState, NodeIndex};
use mallee_proto::WireError;
use mallee_proto::v1::{PlaceReply, PlaceRequest, RunIntent};
use mallee_scheduler::{self as sched, GroupStrategy, Preemptible, Resources};
use mallee_types::InstanceId;
use std::collections::HashSet;

/// A spot instance of the zone.
struct Spot {
    id: InstanceId,
    /// Its notice; 0: none.
    notice_ms: i64,
    may_go: Preemptible,
}

impl ClusterState {
    /// The reply to a request that found no room, with what would make it for `count` instances.
    pub(super) fn with_victims(
        &self,
        reply: PlaceReply,
        request: &PlaceRequest,
        wanted: &sched::Request,
        ids: &[InstanceId],
        count: usize,
    ) -> Result<PlaceReply, WireError> {
        let spots = self.spots(ids);
        let from: Vec<Preemptible> = spots.iter().map(|spot| spot.may_go).collect();
        let mut found = None;
        for wanted in self.wishes(request, wanted, ids)? {
            found = sched::make_room(&wanted, &self.fleet, &from, count);
            if found.is_some() {
                break;
            }
        }
        let Some(room) = found else { return Ok(reply) };
        let of = |index: &usize| spots.get(*index);
        let room_at_ms = room.leaving.iter().filter_map(of).map(|spot| spot.notice_ms.max(1)).max();
        Ok(PlaceReply {
            victims: room.victims.iter().filter_map(of).map(|spot| spot.id.to_string()).collect(),
            room_at_ms: room_at_ms.unwrap_or_default(),
            ..reply
        })
    }

    /// The request with its placement group: of one without a partition of its own, one for each partition.
    fn wishes(
        &self,
        request: &PlaceRequest,
        wanted: &sched::Request,
        ids: &[InstanceId],
    ) -> Result<Vec<sched::Request>, WireError> {
        let Some(wish) = &request.group else { return Ok(vec![wanted.clone()]) };
        let strategy = strategy_of(wish)?;
        let members = self.whereabouts(&wish.id, ids);
        let partitions = match strategy {
            GroupStrategy::Partition if wish.partition == 0 => 1..=wish.partition_count,
            _ => wish.partition..=wish.partition,
        };
        let with = |partition: u32| {
            let mut group = sched::Group::new(strategy, partition);
            members.iter().for_each(|(node, of)| group.add(self.fleet[*node].id.clone(), *of));
            sched::Request { group: Some(group), ..wanted.clone() }
        };
        Ok(partitions.map(with).collect())
    }

    /// The spot instances that take something of a node which their going gives back, in a fixed order.
    fn spots(&self, except: &[InstanceId]) -> Vec<Spot> {
        let except: HashSet<&InstanceId> = except.iter().collect();
        let mut spots: Vec<Spot> =
            self.instances.keys().filter(|id| !except.contains(id)).filter_map(|id| self.spot(id)).collect();
        spots.sort_by(|a, b| a.id.cmp(&b.id));
        spots
    }

    fn spot(&self, id: &InstanceId) -> Option<Spot> {
        let intent = self.instances.get(id)?.intent.as_ref()?;
        let metadata = intent.spec.as_ref()?.metadata.as_ref()?;
        let life = metadata.spot.as_ref()?;
        let (node, takes): (NodeIndex, Resources) = self.charge_of(id)?;
        let stops = intent.intent() == RunIntent::Stop || (intent.intent() == RunIntent::Run && life.stops);
        let frees = if stops { Resources { disk_bytes: 0, ..takes } } else { takes };
        let leaving = life.notice_ms > 0 || intent.intent() != RunIntent::Run;
        let started_ms = metadata.launch_time_ms;
        (frees != Resources::default()).then(|| Spot {
            id: id.clone(),
            notice_ms: life.notice_ms,
            may_go: Preemptible { node, frees, started_ms, leaving },
        })
    }
}
