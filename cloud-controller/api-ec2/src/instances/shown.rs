//! Instances as they are shown, kept from one description to the next: each with its rows joined and its XML written.
//!
//! What is kept of an instance stands beside the version of it that the database gave before it was read, and is used
//! only when the database says that version again in the request itself. So a description is never older than the
//! request, whoever committed what, on whichever replica; nothing has to be told to the cache.

use super::shape;
use crate::Ec2Api;
use crate::common::{Look, ROWS};
use mallee_app::fail::OrFail as _;
use mallee_app::instances::view::{InstanceView, views};
use mallee_app::operation::Writes;
use mallee_awswire::xml::XmlField as _;
use mallee_awswire::{ApiError, ToXml, XmlWriter};
use mallee_ec2_types::ec2::{DescribeInstancesResult, Reservation};
use mallee_store::{InstanceFilter, instance_list};
use mallee_types::{AccountId, InstanceId, ReservationId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that all that is kept may take, by [`Shown::bytes`].
const BYTES_MAX: usize = 48 << 20;

/// An instance as it is shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub view: InstanceView,
    /// `<item>…</item>` of a reservation's instances.
    xml: String,
}

impl Shown {
    pub(super) fn new(view: InstanceView, look: Look<'_>) -> Self {
        let mut w = XmlWriter::new();
        shape::instance(&view, look).field(&mut w, "item");
        Self { view, xml: w.finish() }
    }

    /// About what it takes: the XML names everything that the rows hold, and the tags' names besides.
    fn bytes(&self) -> usize {
        size_of::<Self>() + 2 * self.xml.len()
    }
}

#[derive(Debug, Clone)]
struct Entry {
    version: u64,
    shown: Arc<Shown>,
}

/// Two generations: what is used moves to the younger one; when that has grown to half of all, the older one goes.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<InstanceId, Entry>,
    young_bytes: usize,
    old: HashMap<InstanceId, Entry>,
}

impl Generations {
    fn get(&mut self, id: &InstanceId, version: u64) -> Option<Arc<Shown>> {
        let current = |entry: &&Entry| entry.version == version;
        if let Some(entry) = self.young.get(id) {
            return Some(entry).filter(current).map(|entry| Arc::clone(&entry.shown));
        }
        let entry = self.old.remove(id).filter(|entry| entry.version == version)?;
        let shown = Arc::clone(&entry.shown);
        self.put(id.clone(), entry, BYTES_MAX);
        Some(shown)
    }

    fn put(&mut self, id: InstanceId, entry: Entry, bytes_max: usize) {
        if self.young.get(&id).is_some_and(|held| held.version > entry.version) {
            return;
        }
        self.old.remove(&id);
        self.young_bytes += entry.shown.bytes();
        if let Some(before) = self.young.insert(id, entry) {
            self.young_bytes -= before.shown.bytes();
        }
        if self.young_bytes > bytes_max / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct ShownCache(Mutex<Generations>);

impl ShownCache {
    fn with<T>(&self, f: impl FnOnce(&mut Generations) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ec2Api {
    /// These instances (at most [`ROWS`]), which were just now found to have these versions, in the same order. One
    /// that has gone since is left out.
    pub(super) async fn shown(
        &self,
        account: &AccountId,
        found: &[(InstanceId, u64)],
    ) -> Result<Vec<Arc<Shown>>, ApiError> {
        let mut out: Vec<Option<Arc<Shown>>> =
            self.shown.with(|kept| found.iter().map(|(id, version)| kept.get(id, *version)).collect());
        let missing = found.iter().zip(&out).filter(|(_, shown)| shown.is_none());
        let missing: Vec<InstanceId> = missing.map(|((id, _), _)| id.clone()).collect();
        if !missing.is_empty() {
            let filter = InstanceFilter { account: Some(account), ids: Some(&missing), ..Default::default() };
            let rows = instance_list(self.store(), filter, ROWS).await.or_fail()?;
            let look = self.look();
            let views = views(self.store(), rows).await.or_fail()?.into_iter();
            let mut fresh: HashMap<InstanceId, Arc<Shown>> =
                views.map(|view| (view.row.id.clone(), Arc::new(Shown::new(view, look)))).collect();
            self.shown.with(|kept| {
                for ((id, version), shown) in found.iter().zip(&mut out).filter(|(_, shown)| shown.is_none()) {
                    *shown = fresh.remove(id);
                    if let Some(shown) = shown {
                        let entry = Entry { version: *version, shown: Arc::clone(shown) };
                        kept.put(id.clone(), entry, BYTES_MAX);
                    }
                }
            });
        }
        Ok(out.into_iter().flatten().collect())
    }
}

#[derive(Debug)]
struct ShownReservation {
    /// Without its instances.
    head: Reservation,
    instances: Vec<Arc<Shown>>,
}

/// A [`DescribeInstancesResult`] of instances that are written already.
#[derive(Debug)]
pub(crate) struct ShownInstances {
    next_token: Option<String>,
    reservations: Vec<ShownReservation>,
}

impl ShownInstances {
    /// Grouped by reservation, in the order of first appearance.
    pub(super) fn new(account: &AccountId, shown: Vec<Arc<Shown>>, next_token: Option<String>) -> Self {
        let mut reservations: Vec<ShownReservation> = Vec::new();
        let mut places: HashMap<ReservationId, usize> = HashMap::new();
        for shown in shown {
            let at = *places.entry(shown.view.row.reservation_id.clone()).or_insert_with_key(|id| {
                let head = Reservation {
                    owner_id: Some(account.to_string()),
                    reservation_id: Some(id.to_string()),
                    ..Default::default()
                };
                reservations.push(ShownReservation { head, instances: Vec::new() });
                reservations.len() - 1
            });
            if let Some(reservation) = reservations.get_mut(at) {
                reservation.instances.push(shown);
            }
        }
        for reservation in &mut reservations {
            reservation.instances.sort_by_key(|shown| shown.view.row.launch_index);
        }
        Self { next_token, reservations }
    }
}

/// Where a reservation has its instances when it is written without any.
const NO_INSTANCES: &str = "<instancesSet/>";

impl ToXml for ShownReservation {
    fn to_xml(&self, w: &mut XmlWriter) {
        let mut head = XmlWriter::new();
        self.head.to_xml(&mut head);
        let head = head.finish();
        let (before, after) = head.split_once(NO_INSTANCES).unwrap_or((&head, ""));
        w.fragment(before);
        w.open("instancesSet");
        for shown in &self.instances {
            w.fragment(&shown.xml);
        }
        w.close("instancesSet");
        w.fragment(after);
    }
}

impl ToXml for ShownInstances {
    fn to_xml(&self, w: &mut XmlWriter) {
        w.reserve(self.reservations.iter().flat_map(|r| &r.instances).map(|shown| shown.xml.len()).sum());
        self.next_token.field(w, "nextToken");
        w.list("reservationSet", "item", &self.reservations, true);
    }
}

impl Writes<DescribeInstancesResult> for ShownInstances {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instances::testing::view;

    const LOOK: Look<'_> = Look { region: "eu-1", zones: &[] };

    fn account() -> AccountId {
        "123456789012".parse().unwrap()
    }

    fn of(reservation: u128, index: u32) -> InstanceView {
        let mut view = view();
        view.row.id = InstanceId::from_random(reservation * 100 + u128::from(index));
        view.row.reservation_id = ReservationId::from_random(reservation);
        view.row.launch_index = index;
        view
    }

    fn entry(version: u64) -> Entry {
        Entry { version, shown: Arc::new(Shown::new(view(), LOOK)) }
    }

    fn written(what: &dyn ToXml) -> String {
        let mut w = XmlWriter::new();
        what.to_xml(&mut w);
        w.finish()
    }

    /// What is put together from fragments is what the generated types write.
    #[test]
    fn the_reply_is_written_as_the_model_has_it() {
        for (next_token, wanted) in
            [(None, vec![]), (Some("a&b".to_owned()), vec![(1, vec![0, 1]), (2, vec![0])]), (None, vec![(3, vec![5])])]
        {
            let views: Vec<InstanceView> =
                wanted.iter().flat_map(|(r, indexes)| indexes.iter().map(|i| of(*r, *i))).collect();
            let reservations = wanted.iter().map(|(r, indexes)| Reservation {
                owner_id: Some(account().to_string()),
                reservation_id: Some(ReservationId::from_random(*r).to_string()),
                instances: indexes.iter().map(|i| shape::instance(&of(*r, *i), LOOK)).collect(),
                ..Default::default()
            });
            let model =
                DescribeInstancesResult { reservations: reservations.collect(), next_token: next_token.clone() };
            let shown = views.into_iter().rev().map(|view| Arc::new(Shown::new(view, LOOK))).collect::<Vec<_>>();
            let mut shown = ShownInstances::new(&account(), shown, next_token);
            shown.reservations.reverse();
            assert_eq!(written(&shown), written(&model));
        }
    }

    #[test]
    fn another_version_is_another_description() {
        let mut kept = Generations::default();
        let id = InstanceId::from_random(1);
        kept.put(id.clone(), entry(3), BYTES_MAX);
        assert!(kept.get(&id, 3).is_some());
        assert!(kept.get(&id, 2).is_none() && kept.get(&id, 4).is_none());
        kept.put(id.clone(), entry(2), BYTES_MAX);
        assert!(kept.get(&id, 3).is_some(), "what an older request read does not displace a newer version");
        kept.put(id.clone(), entry(4), BYTES_MAX);
        assert!(kept.get(&id, 3).is_none() && kept.get(&id, 4).is_some());
        assert_eq!(kept.young_bytes, entry(4).shown.bytes());
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_used_stays() {
        let mut kept = Generations::default();
        let bytes = entry(1).shown.bytes();
        let (max, used) = (10 * bytes, InstanceId::from_random(0));
        for n in 0..1000 {
            kept.put(InstanceId::from_random(n), entry(1), max);
            let held = (kept.young.len() + kept.old.len()) * bytes;
            assert!(held <= max + bytes, "{held} of {max}");
            if n % 3 == 0 {
                assert!(kept.get(&used, 1).is_some(), "{n}");
            }
        }
    }
}
