//! The AWS wire layer: Query parameters, XML replies, signatures (SigV4, and SigV2 for old clients), error codes and bodies, and telling which service
//! a request is for. No I/O; nothing here knows what an operation does.

pub mod codes;
pub mod error;
pub mod operation;
pub mod query;
pub mod server;
pub mod sigv2;
pub mod sigv4;
pub mod texts;
pub mod xml;
pub mod xml_read;

pub use codes::Code;
pub use error::{ApiError, Flavour};
pub use operation::{Operation, OperationMeta, Pagination, ServiceMeta};
pub use query::{FromQuery, Node, Params};
pub use xml::{ToXml, XmlWriter};
