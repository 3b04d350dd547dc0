//! The three macros the resource files are written with, and how a limit is written.

/// Follows the parameter of every `LIMIT`. SQLite plans by the value of a bare parameter there, hence anew at each
/// execution; of a sum it knows nothing, and the prepared statement stays.
pub(crate) const LIMIT_TAIL: &str = " + 0";

/// `args![a, &b]`: the arguments of a query, in the order of `$1`, `$2`, ….
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::value::ToArg::to_arg(&$value)),*] };
}
pub(crate) use args;

/// `sql! { NAME = "…"; }`: the SQL texts of one file. All of them stand in the file's `SQL`, which the registry
/// (registry.rs) collects, so that a test prepares every text on both databases.
macro_rules! sql {
    ($($(#[$meta:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$meta])* const $name: &str = $text;)*
        pub(crate) const SQL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use sql;

/// A row struct: public fields in column order, read by position, bound in the same order.
macro_rules! record {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        impl $crate::value::Record for $name {
            fn read(row: $crate::value::Row<'_>) -> Result<Self, $crate::StoreError> {
                let mut at = 0..;
                Ok(Self { $($field: row.get::<$type>(at.next().unwrap_or_default())?,)* })
            }
        }

        impl $name {
            /// The fields as arguments, in column order.
            #[allow(dead_code)]
            pub(crate) fn args(&self) -> Vec<$crate::value::Arg> {
                vec![$($crate::value::ToArg::to_arg(&self.$field)),*]
            }
        }
    )*};
}
pub(crate) use record;
