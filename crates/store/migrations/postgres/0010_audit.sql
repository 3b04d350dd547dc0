-- The index of the audit trail: what LookupEvents asks for. The trail itself is in files.
CREATE TABLE audit_events (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT audit_events_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    event_ms BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    username TEXT COLLATE "C" NOT NULL,
    access_key_id TEXT COLLATE "C" NOT NULL,
    read_only BOOLEAN NOT NULL,
    body TEXT COLLATE "C" NOT NULL
);
CREATE INDEX audit_events_by_time ON audit_events (account_id, event_ms, id);
CREATE INDEX audit_events_by_age ON audit_events (event_ms);
CREATE TABLE audit_resources (
    event_id TEXT COLLATE "C" NOT NULL CONSTRAINT audit_resources_event REFERENCES audit_events (id) ON DELETE CASCADE,
    account_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    CONSTRAINT audit_resources_event_id_kind_name PRIMARY KEY (event_id, kind, name)
);
CREATE INDEX audit_resources_by_name ON audit_resources (account_id, name, event_id);
CREATE INDEX audit_resources_by_kind ON audit_resources (account_id, kind, event_id);
