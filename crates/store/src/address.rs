//! IPv4 addresses: taken from a pool (a subnet, the public pool) inside the transaction that uses them, and kept back
//! for a while after their release, so that nobody gets the traffic meant for the last holder.
//!
//! A row is an address that is not free. The search starts at a random place and jumps from one run of used addresses
//! to the next free one by index, so its cost does not grow with the pool.

use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{Select, insert_rows_later};
use crate::tx::Tx;
use crate::{Store, StoreError};
use ipnet::Ipv4Net;
use mallee_types::{AccountId, AddressId, AllocationId, InterfaceId, SubnetId};
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// How long a released address is kept back.
pub const ADDRESS_HOLD_MS: i64 = 60_000;
/// The pool of public addresses.
const PUBLIC: &str = "public";

/// The addresses of a pool that may be handed out, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    first: u32,
    last: u32,
}

impl AddressRange {
    /// A subnet's addresses but for the five AWS reserves: network, router, DNS, future use, broadcast.
    /// `None` for a subnet too small to have any.
    #[must_use]
    pub fn of_subnet(cidr: Ipv4Net) -> Option<Self> {
        let first = u32::from(cidr.network()).checked_add(4)?;
        let last = u32::from(cidr.broadcast()).checked_sub(1)?;
        (first <= last).then_some(Self { first, last })
    }

    /// A public pool's addresses but for network, router (the first host) and broadcast; all of a /31 or /32.
    #[must_use]
    pub fn of_pool(cidr: Ipv4Net) -> Self {
        let (first, last) = (u32::from(cidr.network()), u32::from(cidr.broadcast()));
        if cidr.prefix_len() >= 31 { Self { first, last } } else { Self { first: first + 2, last: last - 1 } }
    }

    /// How many there are.
    #[must_use]
    pub fn len(self) -> u64 {
        u64::from(self.last) - u64::from(self.first) + 1
    }

    /// Never: a range has at least one address.
    #[must_use]
    pub fn is_empty(self) -> bool {
        false
    }

    /// Whether the address is one of them.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&u32::from(address))
    }
}

record! {
    /// A public address in use.
    pub struct PublicAddressRow {
        /// The address.
        address: Ipv4Addr,
        /// The interface it leads to.
        interface_id: InterfaceId,
        /// The interface's account.
        account_id: AccountId,
        /// When it was given.
        allocated_ms: i64,
        /// The elastic IP that it is; `None`: it came with the interface's instance, and goes with it.
        allocation_id: Option<AllocationId>,
        /// That elastic IP's association.
        association_id: Option<AddressId>,
        /// The secondary private address that it leads to; none: the primary one.
        private_ip: Option<Ipv4Addr>,
    }
}

sql! {
    EXPIRE = "DELETE FROM addresses WHERE pool = $1 AND released_ms IS NOT NULL AND released_ms <= $2";
    FREE_FROM = "SELECT free, (SELECT MIN(address) FROM addresses WHERE pool = $1 AND address > free)
        FROM (SELECT MIN(free) AS free FROM (
        SELECT CAST($2 AS BIGINT) AS free WHERE NOT EXISTS (SELECT 1 FROM addresses WHERE pool = $1 AND address = $2)
        UNION ALL
        SELECT gap FROM (SELECT a.address + 1 AS gap FROM addresses a WHERE a.pool = $1 AND a.address >= $2
            AND a.address < $3 AND NOT EXISTS (SELECT 1 FROM addresses b WHERE b.pool = $1 AND b.address = a.address + 1)
            ORDER BY a.address LIMIT 1) AS first_gap) AS candidates) AS first_free";
    TAKE_EXACT = "INSERT INTO addresses (pool, address) VALUES ($1, $2) ON CONFLICT (pool, address) DO NOTHING";
    FORGET = "DELETE FROM addresses WHERE pool = $1";
    RELEASE = "UPDATE addresses SET released_ms = $1 WHERE released_ms IS NULL AND pool = $2";
    COUNTS = "SELECT pool, in_use FROM (SELECT pool, COUNT(*) AS in_use FROM addresses
        WHERE released_ms IS NULL GROUP BY pool) c WHERE 1 = 1";
    COUNT = "SELECT COUNT(*) FROM addresses WHERE pool = $1 AND released_ms IS NULL";
    PUBLIC_INSERT = "INSERT INTO public_addresses (address, interface_id, account_id, allocated_ms, private_ip)
        VALUES ($1, $2, $3, $4, $5)";
    PUBLIC_DELETE = "DELETE FROM public_addresses WHERE interface_id = $1
        AND NOT EXISTS (SELECT 1 FROM elastic_ips e WHERE e.address = public_addresses.address) RETURNING address";
    PUBLIC_LIST = "SELECT p.address, p.interface_id, p.account_id, p.allocated_ms, e.id, e.association_id, p.private_ip
        FROM public_addresses p LEFT JOIN elastic_ips e ON e.address = p.address WHERE 1 = 1";
}

async fn pool_open(tx: &mut Tx, pool: &str) -> Result<(), StoreError> {
    tx.lock(&format!("addresses/{pool}")).await?;
    let before = tx.now_ms() - ADDRESS_HOLD_MS;
    tx.later(EXPIRE, args![pool, before]).await
}

/// Takes `count` free addresses, all or none.
async fn take(tx: &mut Tx, pool: &str, range: AddressRange, count: usize) -> Result<Vec<Ipv4Addr>, StoreError> {
    pool_open(tx, pool).await?;
    let (first, last) = (i64::from(range.first), i64::from(range.last));
    let start = first + i64::try_from(tx.store().rng().below(range.len())).unwrap_or_default();
    let mut taken: Vec<i64> = Vec::with_capacity(count);
    // From the random start to the end, then from the beginning to the start.
    for (mut from, to) in [(start, last), (first, start - 1)] {
        while taken.len() < count && from <= to {
            let found = Exec::Tx(tx).one(FREE_FROM, args![pool, from, to], pool).await?;
            let (free, next_used): (Option<i64>, Option<i64>) = found;
            let Some(free) = free.filter(|free| *free <= to) else { break };
            let end = next_used.map_or(to, |used| (used - 1).min(to));
            taken.extend((free..=end).take(count - taken.len()));
            from = end + 1;
        }
    }
    if taken.len() < count {
        return Err(StoreError::Exhausted { what: format!("the address pool {pool}") });
    }
    let rows = taken.iter().map(|address| args![pool, address]).collect();
    insert_rows_later(tx, "INSERT INTO addresses (pool, address) VALUES ", "", rows).await?;
    Ok(taken.into_iter().filter_map(|address| u32::try_from(address).ok()).map(Ipv4Addr::from).collect())
}

async fn take_exact(tx: &mut Tx, pool: &str, address: Ipv4Addr) -> Result<bool, StoreError> {
    pool_open(tx, pool).await?;
    let number = i64::from(u32::from(address));
    Ok(Exec::Tx(tx).run(TAKE_EXACT, args![pool, number]).await? > 0)
}

async fn release(tx: &mut Tx, pool: &str, addresses: &[Ipv4Addr]) -> Result<(), StoreError> {
    let numbers: Vec<i64> = addresses.iter().map(|address| i64::from(u32::from(*address))).collect();
    let now_ms = tx.now_ms();
    for some in numbers.chunks(crate::select::FILTER_VALUES_MAX) {
        Select::new(RELEASE, args![now_ms, pool]).and_in("address", Some(some))?.run(Exec::Tx(tx)).await?;
    }
    Ok(())
}

/// Takes private addresses of a subnet for interfaces this transaction makes.
///
/// # Errors
/// [`StoreError::Exhausted`] when the subnet has not so many free ones (`InsufficientFreeAddressesInSubnet`).
pub async fn private_addresses_take(
    tx: &mut Tx,
    subnet: &SubnetId,
    cidr: Ipv4Net,
    count: usize,
) -> Result<Vec<Ipv4Addr>, StoreError> {
    let exhausted = || StoreError::Exhausted { what: format!("the address pool {subnet}") };
    let range = AddressRange::of_subnet(cidr).ok_or_else(exhausted)?;
    take(tx, subnet.as_str(), range, count).await
}

/// Takes the private address the user asked for; false when it is in use or kept back. Whether it lies in the subnet is
/// for the caller to check ([`AddressRange::contains`]).
pub async fn private_address_take_exact(tx: &mut Tx, subnet: &SubnetId, address: Ipv4Addr) -> Result<bool, StoreError> {
    take_exact(tx, subnet.as_str(), address).await
}

/// Gives private addresses back; they are kept back for [`ADDRESS_HOLD_MS`].
pub async fn private_addresses_release(
    tx: &mut Tx,
    subnet: &SubnetId,
    addresses: &[Ipv4Addr],
) -> Result<(), StoreError> {
    release(tx, subnet.as_str(), addresses).await
}

/// Forgets what was taken in a subnet that is deleted.
pub(crate) async fn private_addresses_forget(tx: &mut Tx, subnet: &SubnetId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(FORGET, args![subnet]).await.map(drop)
}

/// How many addresses of the subnet are in use.
pub async fn private_address_count<'a>(exec: impl Into<Exec<'a>>, subnet: &SubnetId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, args![subnet], subnet).await?.0)
}

/// How many addresses of each of these subnets are in use; one without any is left out.
pub async fn private_address_counts<'a>(
    exec: impl Into<Exec<'a>>,
    subnets: &[SubnetId],
) -> Result<HashMap<SubnetId, u64>, StoreError> {
    let select = Select::new(COUNTS, vec![]).and_in("pool", Some(subnets))?;
    let rows: Vec<(SubnetId, u64)> = select.all(exec.into(), " ORDER BY pool").await?;
    Ok(rows.into_iter().collect())
}

/// Gives the interface a public address of the pool. Conflict: `public_addresses_interface_id` when it has one.
///
/// # Errors
/// [`StoreError::Exhausted`] when the pool is empty.
pub async fn public_address_take(
    tx: &mut Tx,
    pool: Ipv4Net,
    interface: &InterfaceId,
    account: &AccountId,
) -> Result<Ipv4Addr, StoreError> {
    let address = public_addresses_take(tx, pool, 1).await?.into_iter().next();
    let address = address.ok_or_else(|| StoreError::Exhausted { what: "the public address pool".to_owned() })?;
    public_address_give(tx, address, interface, account).await?;
    tx.run_later().await?;
    Ok(address)
}

/// Takes so many public addresses of the pool, for interfaces that this transaction makes: each is to be given to one
/// ([`public_address_give`]).
///
/// # Errors
/// [`StoreError::Exhausted`] when the pool has not so many.
pub async fn public_addresses_take(tx: &mut Tx, pool: Ipv4Net, count: usize) -> Result<Vec<Ipv4Addr>, StoreError> {
    take(tx, PUBLIC, AddressRange::of_pool(pool), count).await
}

/// Takes the public address that somebody asked for; false when it is in use or kept back. Whether it lies in the pool is
/// for the caller to check ([`AddressRange::of_pool`]).
pub async fn public_address_take_exact(tx: &mut Tx, address: Ipv4Addr) -> Result<bool, StoreError> {
    take_exact(tx, PUBLIC, address).await
}

/// How many addresses of the public pool are in use.
pub async fn public_address_count<'a>(exec: impl Into<Exec<'a>>) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, args![PUBLIC], PUBLIC).await?.0)
}

/// Gives a public address back to the pool; it is kept back for [`ADDRESS_HOLD_MS`].
pub(crate) async fn public_address_put_back(tx: &mut Tx, address: Ipv4Addr) -> Result<(), StoreError> {
    release(tx, PUBLIC, &[address]).await
}

/// Gives the interface a public address that was taken for it. That it has none is for the caller to know.
pub async fn public_address_give(
    tx: &mut Tx,
    address: Ipv4Addr,
    interface: &InterfaceId,
    account: &AccountId,
) -> Result<(), StoreError> {
    public_address_show(tx, address, interface, None, account).await
}

/// As [`public_address_give`], for this private address of the interface; none: the primary one.
pub(crate) async fn public_address_show(
    tx: &mut Tx,
    address: Ipv4Addr,
    interface: &InterfaceId,
    private_ip: Option<Ipv4Addr>,
    account: &AccountId,
) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    tx.later(PUBLIC_INSERT, args![address, interface, account, now_ms, private_ip]).await
}

/// Takes back the public address that came with the interface's instance, if it has one: an elastic IP stays.
pub async fn public_address_release(tx: &mut Tx, interface: &InterfaceId) -> Result<Option<Ipv4Addr>, StoreError> {
    let gone = Exec::Tx(tx).maybe::<(Ipv4Addr,)>(PUBLIC_DELETE, args![interface]).await?;
    let Some((address,)) = gone else { return Ok(None) };
    public_address_put_back(tx, address).await?;
    Ok(Some(address))
}

/// The public addresses of these interfaces, or of all, in the order of their texts and after `after`.
pub async fn public_address_list<'a>(
    exec: impl Into<Exec<'a>>,
    interfaces: Option<&[InterfaceId]>,
    after: Option<Ipv4Addr>,
    limit: u32,
) -> Result<Vec<PublicAddressRow>, StoreError> {
    let select = Select::new(PUBLIC_LIST, vec![]).and("p.address >", after).and_in("p.interface_id", interfaces)?;
    select.page(exec.into(), "p.address", limit).await
}

/// All public addresses of these interfaces, so many read at once.
pub async fn public_addresses_of(
    store: &Store,
    interfaces: &[InterfaceId],
    page: u32,
) -> Result<Vec<PublicAddressRow>, StoreError> {
    let mut found: Vec<PublicAddressRow> = Vec::new();
    while !interfaces.is_empty() {
        let after = found.last().map(|row| row.address);
        let some = public_address_list(store, Some(interfaces), after, page).await?;
        let last = some.len() < page as usize;
        found.extend(some);
        if last {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_leaves_out_what_is_reserved() {
        let range = AddressRange::of_subnet("10.0.0.0/28".parse().unwrap()).unwrap();
        assert_eq!(range.len(), 11);
        assert!(range.contains(Ipv4Addr::new(10, 0, 0, 4)) && range.contains(Ipv4Addr::new(10, 0, 0, 14)));
        assert!(!range.contains(Ipv4Addr::new(10, 0, 0, 3)) && !range.contains(Ipv4Addr::new(10, 0, 0, 15)));
        assert_eq!(AddressRange::of_subnet("10.0.0.0/31".parse().unwrap()), None);
        assert_eq!(AddressRange::of_pool("192.0.2.0/24".parse().unwrap()).len(), 253);
        assert_eq!(AddressRange::of_pool("192.0.2.7/32".parse().unwrap()).len(), 1);
    }
}
