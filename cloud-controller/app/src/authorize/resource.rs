//! Questions about resources that have policies of their own, kept by somebody else: buckets and objects of S3.

use super::rights::asks_object_tags;
use super::{Ask, inputs};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::ApiError;
use mallee_iam::{Decision, Policy, PolicyKind, Principal, Request, evaluate};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Documents that are kept read, at most; beyond it the memory begins anew. (A bucket's policy has 20 KiB.)
const DOCUMENTS_MAX: usize = 1_000;

/// A resource's policy, read.
#[derive(Debug, Clone)]
pub struct ResourcePolicy {
    /// The policy.
    pub policy: Arc<Policy>,
    /// It asks which tags an object has.
    pub asks_object_tags: bool,
}

/// Documents by their texts.
#[derive(Debug, Default)]
pub(crate) struct Documents(Mutex<HashMap<Arc<str>, ResourcePolicy>>);

/// What is decided of a request.
#[derive(Debug, Clone, Default)]
pub struct Decided {
    /// Of each question.
    pub decisions: Vec<Decision>,
    /// A policy of the caller asks which tags an object has.
    pub asks_object_tags: bool,
}

impl Cloud {
    /// Reads the policy of a resource, as it was stored.
    ///
    /// # Errors
    /// `InternalError` for what is none: nobody gets past a policy that cannot be read.
    pub fn resource_policy(&self, text: &str) -> Result<ResourcePolicy, ApiError> {
        let documents = &self.authorizer().resources.0;
        if let Some(known) = documents.lock().unwrap_or_else(PoisonError::into_inner).get(text) {
            return Ok(known.clone());
        }
        let policy = Policy::parse(text, PolicyKind::Resource).map_err(ApiError::internal)?;
        let read = ResourcePolicy { asks_object_tags: asks_object_tags(&policy), policy: Arc::new(policy) };
        let mut known = documents.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DOCUMENTS_MAX {
            known.clear();
        }
        known.insert(text.into(), read.clone());
        Ok(read)
    }

    /// Decides every question of one request. Nobody ([`Principal::Anonymous`]) has no policies: not those of an account
    /// either.
    ///
    /// # Errors
    /// What the database says.
    pub async fn decide_all(&self, cx: &OpContext, asks: &[Ask<'_>]) -> Result<Decided, ApiError> {
        let rights = match cx.actor.principal {
            Principal::Anonymous => Arc::default(),
            _ => self.rights(cx).await.or_fail()?,
        };
        let session = cx.actor.session.as_ref().and_then(|session| session.policies.as_deref()).unwrap_or_default();
        let decide = |ask: &Ask<'_>| {
            let context = self.context_of(cx, &rights, ask);
            let principal = &cx.actor.principal;
            let request = Request { principal, action: ask.action, resource: ask.resource, context: &context };
            evaluate(&request, &inputs(cx, &rights, ask))
        };
        Ok(Decided {
            decisions: asks.iter().map(decide).collect(),
            asks_object_tags: rights.asks_object_tags || session.iter().any(|policy| asks_object_tags(policy)),
        })
    }
}
