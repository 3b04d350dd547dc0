//! The pieces of versions that were uploaded in parts.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::insert_rows;
use crate::tx::Tx;

record! {
    /// One piece.
    pub struct S3PieceRow {
        /// The part it was, from 1, ascending; gaps occur.
        part_number: u32,
        /// Its size.
        size_bytes: u64,
        /// Where its bytes are.
        blob_id: String,
        /// Its checksums, as text.
        checksums: String,
    }
}

sql! {
    LIST = "SELECT part_number, size_bytes, blob_id, checksums FROM s3_pieces WHERE write_id = $1 ORDER BY n";
    DELETE = "DELETE FROM s3_pieces WHERE write_id = $1 RETURNING blob_id";
}

/// The pieces of a version, in order; none if it was not uploaded in parts (or is gone).
pub async fn s3_piece_list<'a>(exec: impl Into<Exec<'a>>, write_id: &str) -> Result<Vec<S3PieceRow>, StoreError> {
    exec.into().all(LIST, args![write_id]).await
}

/// Writes the pieces of a version.
pub(super) async fn insert(tx: &mut Tx, write_id: &str, pieces: &[S3PieceRow]) -> Result<(), StoreError> {
    let head = "INSERT INTO s3_pieces (write_id, n, part_number, size_bytes, blob_id, checksums) VALUES ";
    let rows = (1i64..).zip(pieces);
    let rows = rows.map(|(n, p)| args![write_id, n, p.part_number, p.size_bytes, p.blob_id, p.checksums]).collect();
    insert_rows(Exec::Tx(tx), head, "", rows).await.map(drop)
}

/// Removes the pieces of a version; their blobs.
pub(super) async fn delete(tx: &mut Tx, write_id: &str) -> Result<Vec<String>, StoreError> {
    let gone = Exec::Tx(tx).all::<(String,)>(DELETE, args![write_id]).await?;
    Ok(gone.into_iter().map(|(blob,)| blob).collect())
}
