//! The command line's side of the administration API: a signed HTTP client, and the commands that only talk to
//! the cloud's public port. They reach no store and no daemon directly.

mod client;
mod commands;
mod credentials;
mod event;
mod quota;
mod spot;
mod usage;
mod user;

pub use client::{ApiFailure, Client};
pub use commands::{
    CheckArgs, ExplainArgs, ImageArgs, StatusArgs, TokenArgs, check, env, explain, image, node_token, status,
};
pub use credentials::{Access, default_state_dir, write_access_files};
pub use event::{EventArgs, EventCommand, event};
pub use quota::{ListArgs, QuotaCommand, SetArgs, quota};
pub use spot::{SpotPriceArgs, spot_price};
pub use usage::{UsageArgs, usage};
pub use user::{UserArgs, user};
