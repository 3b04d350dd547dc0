//! `mallee audit`: is the audit trail whole?

use anyhow::{Context as _, Result};
use mallee_audit::read::verify;
use mallee_cloud_controller::audit::AUDIT_DIR;
use std::path::Path;

/// Follows the chain of the trail in a state directory and prints its newest hash. Kept elsewhere, that hash shows later
/// whether anything before it was changed.
///
/// # Errors
/// The first line that does not belong where it stands; that there is no trail.
#[allow(clippy::print_stdout, reason = "a command's answer")]
pub fn audit(state: &Path) -> Result<()> {
    let directory = state.join(AUDIT_DIR);
    let head =
        verify(&directory).with_context(|| format!("the audit trail in {} is not whole", directory.display()))?;
    println!("{} records, none missing or changed; the newest has hash {}", head.sequence, head.hash);
    Ok(())
}
