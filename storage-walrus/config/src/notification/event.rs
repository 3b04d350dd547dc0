//! The names of events.

/// Events that can be asked for and occur here.
pub const EVENTS: &[&str] = &[
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
    "s3:ObjectAcl:Put",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:LifecycleTransition",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
];

/// Events that AWS has, and that never occur here: nothing is restored, tiered, or lost, and no replication is timed.
const NEVER: &[&str] = &[
    "s3:ReducedRedundancyLostObject",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:IntelligentTiering",
    "s3:Replication:OperationNotTracked",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold",
];

/// Whether it is the name of an event, or of a kind of events.
pub(super) fn is_known(name: &str) -> bool {
    EVENTS.contains(&name) || NEVER.contains(&name)
}

/// Whether what is asked for (`s3:ObjectCreated:*`) covers an event (`ObjectCreated:Put`).
pub(super) fn covers(pattern: &str, event: &str) -> bool {
    let Some(pattern) = pattern.strip_prefix("s3:") else { return false };
    match pattern.strip_suffix('*') {
        Some(kind) => event.starts_with(kind),
        None => pattern == event,
    }
}

/// Whether there are events that both cover.
pub(super) fn overlap(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.strip_prefix("s3:").map(|n| n.trim_end_matches('*').to_owned()).unwrap_or_default();
    covers(a, &plain(b)) || covers(b, &plain(a))
}
