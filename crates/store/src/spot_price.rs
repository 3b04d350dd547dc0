//! What the administrator asks for an hour of a spot instance: prices of types, each from some time on.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;

record! {
    /// A type's price from some time on, in all zones.
    pub struct SpotPriceRow {
        /// AWS's name of the type.
        instance_type: String,
        /// From when, in milliseconds since 1970.
        from_ms: i64,
        /// US dollars an hour, as a decimal number.
        price: String,
    }
}

sql! {
    LIST = "SELECT instance_type, from_ms, price FROM spot_prices ORDER BY instance_type, from_ms LIMIT $1 + 0";
    PUT = "INSERT INTO spot_prices (instance_type, from_ms, price) VALUES ($1, $2, $3)
        ON CONFLICT (instance_type, from_ms) DO UPDATE SET price = excluded.price";
    PURGE = "DELETE FROM spot_prices WHERE from_ms < $1 AND EXISTS (SELECT 1 FROM spot_prices AS later
        WHERE later.instance_type = spot_prices.instance_type AND later.from_ms > spot_prices.from_ms
        AND later.from_ms <= $1)";
}

/// The most prices that are read: types times changes within the time they are kept.
const PRICES_MAX: u32 = 10_000;

/// Every price, by type and time.
pub async fn spot_price_list<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<SpotPriceRow>, StoreError> {
    exec.into().all(LIST, args![PRICES_MAX]).await
}

/// A type's price from a time on.
pub async fn spot_price_put(tx: &mut Tx, row: &SpotPriceRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(PUT, row.args()).await.map(drop)
}

/// Forgets prices that were replaced before `before_ms`; how many.
pub async fn spot_price_purge(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(PURGE, args![before_ms]).await
}
