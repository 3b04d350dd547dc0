//! Which operations of IAM are offered, and who answers them.

use crate::IdentityApi;
use mallee_ec2_types::iam::IamRequest;

mallee_app::offered! {
    /// Every operation of IAM this cloud offers, sorted by name.
    pub const IAM_OFFERED: IamRequest of SERVICE;
    |_api: &IdentityApi, _cx, _params, r|
}
