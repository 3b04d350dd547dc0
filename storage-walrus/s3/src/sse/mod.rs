//! Server-side encryption, as requests ask for it and replies tell of it.

mod apply;
mod asked;

pub(crate) use apply::{
    Sealing, check_customer, default_document, default_of, describe, describe_customer, etag, key_of, part_key, plan,
    same_customer,
};
pub(crate) use asked::{Asked, Customer, Side, customer, refuse_method};
