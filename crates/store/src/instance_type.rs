//! Instance types whose figures the administrator has changed; all others have the built-in ones.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;

record! {
    /// A type's own figures.
    pub struct InstanceTypeRow {
        /// AWS's name.
        name: String,
        /// Virtual CPUs.
        vcpus: u32,
        /// Memory in MiB.
        memory_mib: u64,
        /// Root disk in GiB.
        root_disk_gib: u64,
    }
}

sql! {
    LIST = "SELECT name, vcpus, memory_mib, root_disk_gib FROM instance_types ORDER BY name";
    PUT = "INSERT INTO instance_types (name, vcpus, memory_mib, root_disk_gib) VALUES ($1, $2, $3, $4)
        ON CONFLICT (name) DO UPDATE SET vcpus = excluded.vcpus, memory_mib = excluded.memory_mib,
        root_disk_gib = excluded.root_disk_gib";
    DELETE = "DELETE FROM instance_types WHERE name = $1";
}

/// Every changed type, by name.
pub async fn instance_type_list<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<InstanceTypeRow>, StoreError> {
    exec.into().all(LIST, vec![]).await
}

/// Sets a type's figures.
pub async fn instance_type_put(tx: &mut Tx, row: &InstanceTypeRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(PUT, row.args()).await.map(drop)
}

/// Back to the built-in figures; true if others were set.
pub async fn instance_type_delete(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![name]).await? > 0)
}
