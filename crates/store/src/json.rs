//! Columns that hold JSON: lists and small documents no query looks into.

use crate::StoreError;
use crate::value::{Arg, FromColumn, Row, ToArg};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value kept as JSON text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// A list of texts.
pub type TextList = Json<Vec<String>>;

impl<T: Serialize> ToArg for Json<T> {
    const NULL: Arg = Arg::Text(None);
    fn to_arg(&self) -> Arg {
        // Lists of texts and structs of plain fields always serialise.
        Arg::Text(Some(serde_json::to_string(&self.0).unwrap_or_default()))
    }
}

impl<T: DeserializeOwned> FromColumn for Json<T> {
    fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        let Some(text) = row.text(at)? else { return Ok(None) };
        serde_json::from_str(text).map(|v| Some(Self(v))).map_err(|e| StoreError::corrupt(format!("column {at}: {e}")))
    }
}
