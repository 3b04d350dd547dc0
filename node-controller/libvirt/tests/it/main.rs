//! Real guests under a libvirtd of our own.
//!
//! Needs root, libvirtd, virtlogd, qemu-system-x86_64, qemu-img, unshare, ip: a missing one fails the tests.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod daemon;
mod guests;
mod restart;
