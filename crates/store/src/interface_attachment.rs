//! What is under way between an interface and its instance. Of an interface that was made with its instance, and is not
//! about to leave it, there is no row: it is attached since it was made.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::{Generation, InterfaceId};

record! {
    /// An attachment with a history.
    pub struct InterfaceAttachmentRow {
        /// The interface.
        interface_id: InterfaceId,
        /// Since when it is attached.
        attached_ms: i64,
        /// The generation of the instance with which its node heard of the last change.
        generation: Generation,
        /// That change is its end: when the node has carried it out, the interface is free.
        detaching: bool,
    }
}

sql! {
    PUT = "INSERT INTO interface_attachments (interface_id, attached_ms, generation, detaching) VALUES ($1, $2, $3, $4)
        ON CONFLICT (interface_id) DO UPDATE SET generation = excluded.generation, detaching = excluded.detaching";
    LIST = "SELECT interface_id, attached_ms, generation, detaching FROM interface_attachments WHERE 1 = 1";
    FORGET = "DELETE FROM interface_attachments WHERE interface_id = $1";
}

/// Notes a change of an attachment; one that is known keeps its beginning.
pub async fn interface_attachment_put(tx: &mut Tx, row: &InterfaceAttachmentRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(PUT, row.args()).await.map(drop)
}

/// What is known of the attachments of these interfaces, by interface.
pub async fn interface_attachment_list<'a>(
    exec: impl Into<Exec<'a>>,
    interfaces: &[InterfaceId],
    limit: u32,
) -> Result<Vec<InterfaceAttachmentRow>, StoreError> {
    let select = Select::new(LIST, vec![]).and_in("interface_id", Some(interfaces))?;
    select.page(exec.into(), "interface_id", limit).await
}

pub(crate) async fn interface_attachment_forget(tx: &mut Tx, interface: &InterfaceId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(FORGET, args![interface]).await.map(drop)
}
