-- Trails: the audit records of an account that are delivered to a bucket of it.
CREATE TABLE trails (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    bucket TEXT NOT NULL,
    prefix TEXT,
    global_events INTEGER NOT NULL,
    multi_region INTEGER NOT NULL,
    validation INTEGER NOT NULL,
    selectors TEXT,
    tags TEXT NOT NULL,
    logging INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    started_ms INTEGER,
    stopped_ms INTEGER,
    attempted_ms INTEGER,
    delivered_ms INTEGER,
    delivery_error TEXT,
    digest_from_ms INTEGER,
    digest_previous TEXT,
    digest_plan TEXT,
    digest_delivered_ms INTEGER,
    digest_error TEXT,
    CONSTRAINT trails_account_id_name PRIMARY KEY (account_id, name)
) STRICT;
-- How far the trail of one replica has been delivered, and the object that is under way.
CREATE TABLE trail_deliveries (
    account_id TEXT NOT NULL,
    trail TEXT NOT NULL,
    replica TEXT NOT NULL,
    position TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    plan TEXT,
    CONSTRAINT trail_deliveries_account_id_trail_replica PRIMARY KEY (account_id, trail, replica),
    FOREIGN KEY (account_id, trail) REFERENCES trails (account_id, name) ON DELETE CASCADE
) STRICT;
CREATE INDEX trail_deliveries_by_replica ON trail_deliveries (replica);
-- Delivered files that no digest names yet.
CREATE TABLE trail_files (
    account_id TEXT NOT NULL,
    trail TEXT NOT NULL,
    bucket TEXT NOT NULL,
    object TEXT NOT NULL,
    hash TEXT NOT NULL,
    oldest_ms INTEGER NOT NULL,
    newest_ms INTEGER NOT NULL,
    CONSTRAINT trail_files_account_id_trail_object PRIMARY KEY (account_id, trail, object),
    FOREIGN KEY (account_id, trail) REFERENCES trails (account_id, name) ON DELETE CASCADE
) STRICT;
-- Keys that sign digests.
CREATE TABLE trail_keys (
    fingerprint TEXT NOT NULL CONSTRAINT trail_keys_fingerprint PRIMARY KEY,
    public_key TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL,
    sealed_key BLOB NOT NULL
) STRICT;
