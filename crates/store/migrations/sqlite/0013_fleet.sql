-- Fleets: what is wanted, each launch that was decided before it is made, and the instances that came of it.
CREATE TABLE fleets (
    id TEXT NOT NULL CONSTRAINT fleets_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('instant', 'request', 'maintain')),
    state TEXT NOT NULL,
    -- Grows with every change; who writes says which one was read.
    version INTEGER NOT NULL,
    -- Whether the keeper has anything to do for it, now or later.
    is_open INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    deleted_ms INTEGER,
    client_token TEXT,
    -- The number of the last launch.
    attempts INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE INDEX fleets_by_account ON fleets (account_id, id);
CREATE INDEX fleets_open ON fleets (is_open, id);

CREATE TABLE fleet_launches (
    fleet_id TEXT NOT NULL REFERENCES fleets (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('planned', 'launched', 'failed', 'cancelled')),
    created_ms INTEGER NOT NULL,
    doc TEXT NOT NULL,
    CONSTRAINT fleet_launches_fleet_id_attempt PRIMARY KEY (fleet_id, attempt)
) STRICT;

-- Written in the transaction that makes the instance. Outlives the instance's row: an instant fleet shows what it launched.
CREATE TABLE fleet_members (
    instance_id TEXT NOT NULL CONSTRAINT fleet_members_instance_id PRIMARY KEY,
    fleet_id TEXT NOT NULL REFERENCES fleets (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('live', 'leaving', 'gone'))
) STRICT;
CREATE INDEX fleet_members_by_fleet ON fleet_members (fleet_id, instance_id);

CREATE TABLE fleet_events (
    fleet_id TEXT NOT NULL REFERENCES fleets (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('instance-change', 'fleet-change', 'service-error')),
    sub_kind TEXT NOT NULL,
    description TEXT NOT NULL,
    instance_id TEXT,
    CONSTRAINT fleet_events_fleet_id_seq PRIMARY KEY (fleet_id, seq)
) STRICT;
CREATE INDEX fleet_events_at_ms ON fleet_events (at_ms);
