-- The index of the audit trail: what LookupEvents asks for. The trail itself is in files.
CREATE TABLE audit_events (
    id TEXT NOT NULL CONSTRAINT audit_events_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    event_ms INTEGER NOT NULL,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    username TEXT NOT NULL,
    access_key_id TEXT NOT NULL,
    read_only INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX audit_events_by_time ON audit_events (account_id, event_ms, id);
CREATE INDEX audit_events_by_age ON audit_events (event_ms);
CREATE TABLE audit_resources (
    event_id TEXT NOT NULL CONSTRAINT audit_resources_event REFERENCES audit_events (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    CONSTRAINT audit_resources_event_id_kind_name PRIMARY KEY (event_id, kind, name)
) STRICT;
CREATE INDEX audit_resources_by_name ON audit_resources (account_id, name, event_id);
CREATE INDEX audit_resources_by_kind ON audit_resources (account_id, kind, event_id);
