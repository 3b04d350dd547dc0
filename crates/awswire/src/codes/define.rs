//! What the table of error codes is made with.

macro_rules! codes {
    ($($variant:ident = $code:literal, $status:literal, $retriable:literal, $template:literal;)*) => {
        /// An error code of the AWS APIs, named after its wire form without the dots.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Code { $($variant),* }

        impl Code {
            /// Every code, in table order.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The code's row.
            #[must_use]
            pub fn row(self) -> &'static super::CodeRow {
                static ROWS: &[super::CodeRow] = &[$(super::CodeRow {
                    code: $code, status: $status, retriable: $retriable, template: $template,
                }),*];
                &ROWS[self as usize]
            }
        }
    };
}
