//! The four column types and how our types map on them, for both databases at once.

use crate::StoreError;
use mallee_types::{
    AccountId, AddressId, AllocationId, AttachmentId, CapacityReservationId, DhcpOptionsId, DomainPhase,
    EgressOnlyGatewayId, Epoch, FleetId, FlowLogId, Generation, GroupId, GroupRuleId, HostId, ImageId, Incarnation,
    InsightsAnalysisId, InsightsPathId, InstanceEventId, InstanceId, InstanceState, InterfaceId, InternetGatewayId,
    KeyPairId, LaunchTemplateId, MacAddress, NatGatewayId, NetworkAclAssociationId, NetworkAclId, NodeId,
    PlacementGroupId, PrefixListId, ProfileAssociationId, ReservationId, RouteAssociationId, RouteTableId, RunIntent,
    SpotRequestId, SubnetCidrAssociationId, SubnetId, TransitAttachmentId, TransitGatewayId, TransitTableId,
    VpcCidrAssociationId, VpcId, VpcPeeringId, ZoneName,
};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, Row as _};
use std::net::{Ipv4Addr, Ipv6Addr};

/// One bound value; the inner `None` is a typed NULL.
#[derive(Debug, Clone)]
pub enum Arg {
    /// A text column.
    Text(Option<String>),
    /// A 64-bit column.
    Int(Option<i64>),
    /// A boolean column.
    Bool(Option<bool>),
    /// A bytes column.
    Bytes(Option<Vec<u8>>),
}

macro_rules! add_all {
    ($out:ident, $args:ident) => {
        for arg in $args {
            match arg {
                Arg::Text(value) => $out.add(value),
                Arg::Int(value) => $out.add(value),
                Arg::Bool(value) => $out.add(value),
                Arg::Bytes(value) => $out.add(value),
            }
            .map_err(StoreError::Invalid)?;
        }
    };
}

pub(crate) fn sqlite_arguments(args: Vec<Arg>) -> Result<SqliteArguments, StoreError> {
    let mut out = SqliteArguments::default();
    add_all!(out, args);
    Ok(out)
}

pub(crate) fn pg_arguments(args: Vec<Arg>) -> Result<PgArguments, StoreError> {
    let mut out = PgArguments::default();
    add_all!(out, args);
    Ok(out)
}

/// A type that can be bound.
pub trait ToArg {
    /// NULL of this type.
    const NULL: Arg;
    /// The value as an argument.
    fn to_arg(&self) -> Arg;
}

/// One row of either database.
#[derive(Clone, Copy)]
pub enum Row<'r> {
    /// From SQLite.
    Sqlite(&'r SqliteRow),
    /// From PostgreSQL.
    Pg(&'r PgRow),
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Row")
    }
}

impl<'r> Row<'r> {
    pub(crate) fn text(self, at: usize) -> Result<Option<&'r str>, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get_unchecked(at),
            Self::Pg(row) => row.try_get_unchecked(at),
        }
        .map_err(|e| StoreError::corrupt(format!("column {at}: {e}")))
    }

    pub(crate) fn int(self, at: usize) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get_unchecked(at),
            Self::Pg(row) => row.try_get(at),
        }
        .map_err(|e| StoreError::corrupt(format!("column {at}: {e}")))
    }

    pub(crate) fn bool(self, at: usize) -> Result<Option<bool>, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get_unchecked(at),
            Self::Pg(row) => row.try_get(at),
        }
        .map_err(|e| StoreError::corrupt(format!("column {at}: {e}")))
    }

    pub(crate) fn bytes(self, at: usize) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get_unchecked(at),
            Self::Pg(row) => row.try_get(at),
        }
        .map_err(|e| StoreError::corrupt(format!("column {at}: {e}")))
    }

    /// The value of a column, by position.
    pub(crate) fn get<T: FromColumn>(self, at: usize) -> Result<T, StoreError> {
        T::from_column(self, at)
    }
}

/// A type that can be read from a column.
pub trait FromColumn: Sized {
    /// The value, or `None` for NULL.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the column holds something else.
    fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError>;

    /// The value; NULL is an error.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the column is NULL or holds something else.
    fn from_column(row: Row<'_>, at: usize) -> Result<Self, StoreError> {
        Self::maybe(row, at)?.ok_or_else(|| StoreError::corrupt(format!("column {at} is null")))
    }
}

/// A struct that can be read from a row, column by column.
pub trait Record: Sized + Send {
    /// Reads the columns in order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a column does not read.
    fn read(row: Row<'_>) -> Result<Self, StoreError>;
}

impl<T: ToArg + ?Sized> ToArg for &T {
    const NULL: Arg = T::NULL;
    fn to_arg(&self) -> Arg {
        (**self).to_arg()
    }
}

impl<T: ToArg> ToArg for Option<T> {
    const NULL: Arg = T::NULL;
    fn to_arg(&self) -> Arg {
        self.as_ref().map_or(T::NULL, ToArg::to_arg)
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        T::maybe(row, at).map(Some)
    }
    fn from_column(row: Row<'_>, at: usize) -> Result<Self, StoreError> {
        T::maybe(row, at)
    }
}

macro_rules! plain {
    ($($type:ty, $variant:ident, $getter:ident;)*) => {$(
        impl ToArg for $type {
            const NULL: Arg = Arg::$variant(None);
            fn to_arg(&self) -> Arg { Arg::$variant(Some(self.to_owned())) }
        }
    )*};
}
plain! { str, Text, text; String, Text, text; i64, Int, int; bool, Bool, bool; [u8], Bytes, bytes; Vec<u8>, Bytes, bytes; }

impl FromColumn for String {
    fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        Ok(row.text(at)?.map(str::to_owned))
    }
}
impl FromColumn for i64 {
    fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        row.int(at)
    }
}
impl FromColumn for bool {
    fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        row.bool(at)
    }
}
impl FromColumn for Vec<u8> {
    fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        row.bytes(at)
    }
}

/// Counters and sizes. Values above `i64::MAX` cannot occur (a counter would need 292,000 years at one per
/// microsecond; a size 8 EiB) and are stored as `i64::MAX`.
macro_rules! unsigned {
    ($($type:ty, $make:expr, $read:expr;)*) => {$(
        impl ToArg for $type {
            const NULL: Arg = Arg::Int(None);
            fn to_arg(&self) -> Arg {
                let read: fn(&$type) -> u64 = $read;
                Arg::Int(Some(i64::try_from(read(self)).unwrap_or(i64::MAX)))
            }
        }
        impl FromColumn for $type {
            fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
                let make: fn(u64) -> Option<$type> = $make;
                let Some(value) = row.int(at)? else { return Ok(None) };
                let made = u64::try_from(value).ok().and_then(make);
                made.map(Some).ok_or_else(|| StoreError::corrupt(format!("column {at}: {value} is out of range")))
            }
        }
    )*};
}
unsigned! {
    u64, Some, |n| *n;
    u32, |n| u32::try_from(n).ok(), |n| u64::from(*n);
    Generation, |n| Some(Generation(n)), |n| n.0;
    Incarnation, |n| Some(Incarnation(n)), |n| n.0;
    Epoch, |n| Some(Epoch(n)), |n| n.0;
}

/// Types that are text in the database and parse from it.
macro_rules! texts {
    ($($type:ty),* $(,)?) => {$(
        impl ToArg for $type {
            const NULL: Arg = Arg::Text(None);
            fn to_arg(&self) -> Arg { Arg::Text(Some(self.to_string())) }
        }
        impl FromColumn for $type {
            fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
                let Some(text) = row.text(at)? else { return Ok(None) };
                text.parse().map(Some).map_err(|e| StoreError::corrupt(format!("column {at}: {text:?}: {e}")))
            }
        }
    )*};
}
texts!(
    AccountId,
    AttachmentId,
    DhcpOptionsId,
    EgressOnlyGatewayId,
    FlowLogId,
    FleetId,
    GroupId,
    GroupRuleId,
    ImageId,
    InsightsAnalysisId,
    InsightsPathId,
    InstanceId,
    InterfaceId,
    InternetGatewayId,
    NetworkAclAssociationId,
    NatGatewayId,
    NetworkAclId,
    RouteAssociationId,
    RouteTableId,
    AllocationId,
    AddressId,
    KeyPairId,
    LaunchTemplateId,
    MacAddress,
    NodeId,
    PlacementGroupId,
    PrefixListId,
    CapacityReservationId,
    HostId,
    ProfileAssociationId,
    ReservationId,
    InstanceEventId,
    SpotRequestId,
    SubnetCidrAssociationId,
    SubnetId,
    TransitAttachmentId,
    TransitGatewayId,
    TransitTableId,
    VpcCidrAssociationId,
    VpcId,
    VpcPeeringId,
    ZoneName,
    Ipv4Addr,
    ipnet::Ipv4Net,
    Ipv6Addr,
    ipnet::Ipv6Net,
    ipnet::IpNet,
);

/// Closed sets of words.
macro_rules! words {
    ($($type:ty { $($variant:ident = $word:literal),* $(,)? })*) => {$(
        impl $crate::value::ToArg for $type {
            const NULL: $crate::value::Arg = $crate::value::Arg::Text(None);
            fn to_arg(&self) -> $crate::value::Arg {
                $crate::value::Arg::Text(Some(match self { $(Self::$variant => $word),* }.to_owned()))
            }
        }
        impl $crate::value::FromColumn for $type {
            fn maybe(row: $crate::value::Row<'_>, at: usize) -> Result<Option<Self>, $crate::StoreError> {
                match row.text(at)? {
                    None => Ok(None),
                    $(Some($word) => Ok(Some(Self::$variant)),)*
                    Some(other) => Err($crate::StoreError::corrupt(format!("column {at}: unknown word {other:?}"))),
                }
            }
        }
    )*};
}
pub(crate) use words;

words! {
    RunIntent { Run = "run", Stop = "stop", Terminate = "terminate" }
    DomainPhase {
        Absent = "absent", Preparing = "preparing", Running = "running", Stopping = "stopping", Stopped = "stopped",
        Failed = "failed",
    }
    InstanceState {
        Pending = "pending", Running = "running", ShuttingDown = "shutting-down", Terminated = "terminated",
        Stopping = "stopping", Stopped = "stopped",
    }
}

macro_rules! tuples {
    ($($($name:ident $at:tt),+;)*) => {$(
        impl<$($name: FromColumn + Send),+> Record for ($($name,)+) {
            fn read(row: Row<'_>) -> Result<Self, StoreError> { Ok(($(row.get::<$name>($at)?,)+)) }
        }
    )*};
}
tuples! { A 0; A 0, B 1; A 0, B 1, C 2; A 0, B 1, C 2, D 3; }
