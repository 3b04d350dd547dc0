//! The authorisation table: for every operation, what must be allowed before its handler runs.
//!
//! A pure crate. A [`Row`] says which resources of which kinds an operation touches and where its request names them;
//! [`plan`] applies it to one request and gives the [`Question`]s for the policy evaluator. Who answers them, and looks up
//! what resources are like, is not here.
//!
//! A new operation is a line in the file of its resource. Source: AWS Service Authorization Reference (actions,
//! resource types, condition keys of EC2, IAM, STS). S3's table is with its protocol, which runs what it says.

mod ec2;
mod iam;
mod kind;
mod path;
mod plan;
mod row;
mod sts;

pub use kind::{Kind, Service};
pub use plan::{Plan, Question, Target, plan};
pub use row::{From, Key, Mode, Need, Row, Source};

/// The row of an operation; none is refused to everybody but an account's root.
#[must_use]
pub fn row(service: Service, operation: &str) -> Option<&'static Row> {
    let find = |rows: &'static [Row]| rows.iter().find(|row| row.operation == operation);
    match service {
        Service::Ec2 => ec2::TABLES.iter().find_map(|rows| find(rows)),
        Service::Iam => iam::TABLES.iter().find_map(|rows| find(rows)),
        Service::Sts => find(sts::ROWS),
        Service::S3 => None,
    }
}

#[cfg(test)]
mod tests;
