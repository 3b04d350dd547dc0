-- Trails: the audit records of an account that are delivered to a bucket of it.
CREATE TABLE trails (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name TEXT COLLATE "C" NOT NULL,
    bucket TEXT COLLATE "C" NOT NULL,
    prefix TEXT COLLATE "C",
    global_events BOOLEAN NOT NULL,
    multi_region BOOLEAN NOT NULL,
    validation BOOLEAN NOT NULL,
    selectors TEXT COLLATE "C",
    tags TEXT COLLATE "C" NOT NULL,
    logging BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL,
    started_ms BIGINT,
    stopped_ms BIGINT,
    attempted_ms BIGINT,
    delivered_ms BIGINT,
    delivery_error TEXT COLLATE "C",
    digest_from_ms BIGINT,
    digest_previous TEXT COLLATE "C",
    digest_plan TEXT COLLATE "C",
    digest_delivered_ms BIGINT,
    digest_error TEXT COLLATE "C",
    CONSTRAINT trails_account_id_name PRIMARY KEY (account_id, name)
);
-- How far the trail of one replica has been delivered, and the object that is under way.
CREATE TABLE trail_deliveries (
    account_id TEXT COLLATE "C" NOT NULL,
    trail TEXT COLLATE "C" NOT NULL,
    replica TEXT COLLATE "C" NOT NULL,
    position TEXT COLLATE "C" NOT NULL,
    since_ms BIGINT NOT NULL,
    plan TEXT COLLATE "C",
    CONSTRAINT trail_deliveries_account_id_trail_replica PRIMARY KEY (account_id, trail, replica),
    FOREIGN KEY (account_id, trail) REFERENCES trails (account_id, name) ON DELETE CASCADE
);
CREATE INDEX trail_deliveries_by_replica ON trail_deliveries (replica);
-- Delivered files that no digest names yet.
CREATE TABLE trail_files (
    account_id TEXT COLLATE "C" NOT NULL,
    trail TEXT COLLATE "C" NOT NULL,
    bucket TEXT COLLATE "C" NOT NULL,
    object TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    oldest_ms BIGINT NOT NULL,
    newest_ms BIGINT NOT NULL,
    CONSTRAINT trail_files_account_id_trail_object PRIMARY KEY (account_id, trail, object),
    FOREIGN KEY (account_id, trail) REFERENCES trails (account_id, name) ON DELETE CASCADE
);
-- Keys that sign digests.
CREATE TABLE trail_keys (
    fingerprint TEXT COLLATE "C" NOT NULL CONSTRAINT trail_keys_fingerprint PRIMARY KEY,
    public_key TEXT COLLATE "C" NOT NULL,
    from_ms BIGINT NOT NULL,
    to_ms BIGINT NOT NULL,
    sealed_key BYTEA NOT NULL
);
