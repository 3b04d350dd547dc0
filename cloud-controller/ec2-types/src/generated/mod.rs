//! Output of `cargo xtask codegen`, one module a service. Only this file is written by hand.

#[rustfmt::skip]
#[allow(clippy::all, clippy::pedantic, unused_qualifications, unused_imports)]
pub mod ec2;
#[rustfmt::skip]
#[allow(clippy::all, clippy::pedantic, unused_qualifications, unused_imports)]
pub mod iam;
#[rustfmt::skip]
#[allow(clippy::all, clippy::pedantic, unused_qualifications, unused_imports)]
pub mod sts;
