//! Who may what, decided in one place: every request is asked about here before its operation runs, with all that has a
//! say in it. What policies mean is the [`Authority`](crate::Authority)'s to tell; what is asked is told here.

mod batch;
mod body;
pub(crate) mod bucket;
mod decide;
mod grants;
mod keys;
mod object;
pub(crate) mod payer;
pub(crate) mod policy_text;
pub(crate) mod service;

pub(crate) use batch::Doomed;
pub use bucket::NewBuckets;
pub(crate) use decide::Access;
pub(crate) use object::{Looks, Seen};

use decide::denied;

use http::request::Parts;
use mallee_awswire::sigv4::Claim;
use mallee_objects::Limits;
use std::borrow::Cow;
use std::sync::Arc;

/// Condition keys and their values.
pub type Keys = Vec<(String, Vec<String>)>;

/// A bucket or object that questions are about, with its own policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// The account it belongs to; `None`: the caller's, of what belongs to nobody yet.
    pub account: Option<String>,
    /// The bucket's policy.
    pub policy: Option<Arc<str>>,
    /// Of that policy only what it denies counts.
    pub denies_only: bool,
    /// What access control lists grant, as a policy.
    pub grants: Option<Arc<str>>,
}

/// An action that must be allowed, and what on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// `s3:…`.
    pub action: Cow<'static, str>,
    /// ARN; `*` for what is about no bucket.
    pub resource: String,
    /// Which of the resources of the case it is.
    pub on: usize,
    /// Condition keys beside those of the case.
    pub keys: Keys,
}

/// What is asked about a request.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The head of the request; its extensions hold the `Peer` of crate `serve`, where that is known.
    pub head: &'a Parts,
    /// What it says of its signature; `None`: nobody signed.
    pub claim: Option<&'a Claim>,
    /// What the questions are about.
    pub resources: &'a [Resource],
    /// The questions.
    pub questions: &'a [Question],
    /// Condition keys of all questions.
    pub keys: &'a Keys,
    /// The question whose quotas are wanted.
    pub quotas: Option<usize>,
    /// When the head of the request came, in milliseconds since 1970: its body may have taken long.
    pub arrived_ms: i64,
    /// The time now, in the same.
    pub now_ms: i64,
}

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// For each question why it is refused; `None`: it is allowed.
    pub refusals: Vec<Option<String>>,
    /// The quotas that bind the request, where they were wanted.
    pub limits: Option<Arc<Limits>>,
    /// A policy asks which tags an object has (`s3:ExistingObjectTag/…`): where the keys do not say so, the answer is not
    /// the last word.
    pub asks_object_tags: bool,
}
