//! Which operations of a Query service are offered, and who answers them: one list for both.

use crate::OpContext;
use mallee_awswire::{ApiError, Operation, Params, ServiceMeta, ToXml};
use std::marker::PhantomData;
use std::pin::Pin;

/// Whether an operation changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only looks.
    Read,
    /// It changes something.
    Write,
}

/// An operation this cloud offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// The service's name of it.
    pub name: &'static str,
    /// Whether it changes anything.
    pub access: Access,
}

/// An operation on its way to its reply.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<String, ApiError>> + Send + 'a>>;

/// What writes itself exactly as `T` does: `T` itself, or something that has parts of it written already.
pub trait Writes<T>: ToXml {}

impl<T: ToXml> Writes<T> for T {}

/// Writes replies of the operation that `O` is.
#[derive(Debug)]
pub struct Reply<O> {
    service: &'static ServiceMeta,
    of: PhantomData<fn(O)>,
}

/// The writer for a request.
pub const fn reply<O: Operation>(_of: &O, service: &'static ServiceMeta) -> Reply<O> {
    Reply { service, of: PhantomData }
}

impl<O: Operation> Reply<O> {
    /// The whole reply.
    pub fn write(&self, cx: &OpContext, params: &Params, output: &impl Writes<O::Output>) -> String {
        self.service.reply(O::META, params.version(), &cx.request_id, output)
    }
}

/// Makes the table of a service's offered operations and the function `dispatch` that has them answered:
///
/// ```text
/// mallee_app::offered! {
///     /// Every operation of STS this cloud offers, sorted by name.
///     pub const STS_OFFERED: StsRequest of SERVICE;
///     |api: &IdentityApi, cx, params, r|
///     Read GetCallerIdentity => api.get_caller_identity(cx, r);
/// }
/// ```
///
/// What is generated but not in the list answers `UnsupportedOperation`.
#[macro_export]
macro_rules! offered {
    (
        $(#[$doc:meta])* pub const $table:ident: $request:ident of $service:ident;
        |$api:ident: $api_type:ty, $cx:ident, $params:ident, $r:ident|
        $($access:ident $name:ident => $answer:expr;)*
    ) => {
        $(#[$doc])*
        pub const $table: &[$crate::operation::Offered] = &[$($crate::operation::Offered {
            name: stringify!($name),
            access: $crate::operation::Access::$access,
        }),*];

        pub(crate) async fn dispatch(
            $api: $api_type,
            $cx: &$crate::OpContext,
            $params: &mallee_awswire::Params,
            request: $request,
        ) -> Result<String, mallee_awswire::ApiError> {
            match request {
                $($request::$name(boxed) => {
                    // In a function of its own: the stack of this one would have room for every arm's future at once.
                    let answer = move || -> $crate::operation::Answering<'_> {
                        Box::pin(async move {
                            let $r = *boxed;
                            let reply = $crate::operation::reply(&$r, &$service);
                            let output = $answer?;
                            Ok(reply.write($cx, $params, &output))
                        })
                    };
                    answer().await
                })*
                other => Err(mallee_awswire::ApiError::unsupported_operation(other.name())),
            }
        }
    };
}
