-- Fleets: what is wanted, each launch that was decided before it is made, and the instances that came of it.
CREATE TABLE fleets (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT fleets_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('instant', 'request', 'maintain')),
    state TEXT COLLATE "C" NOT NULL,
    -- Grows with every change; who writes says which one was read.
    version BIGINT NOT NULL,
    -- Whether the keeper has anything to do for it, now or later.
    is_open BOOLEAN NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    deleted_ms BIGINT,
    client_token TEXT COLLATE "C",
    -- The number of the last launch.
    attempts BIGINT NOT NULL,
    doc TEXT COLLATE "C" NOT NULL
);
CREATE INDEX fleets_by_account ON fleets (account_id, id);
CREATE INDEX fleets_open ON fleets (is_open, id);

CREATE TABLE fleet_launches (
    fleet_id TEXT COLLATE "C" NOT NULL REFERENCES fleets (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('planned', 'launched', 'failed', 'cancelled')),
    created_ms BIGINT NOT NULL,
    doc TEXT COLLATE "C" NOT NULL,
    CONSTRAINT fleet_launches_fleet_id_attempt PRIMARY KEY (fleet_id, attempt)
);

-- Written in the transaction that makes the instance. Outlives the instance's row: an instant fleet shows what it launched.
CREATE TABLE fleet_members (
    instance_id TEXT COLLATE "C" NOT NULL CONSTRAINT fleet_members_instance_id PRIMARY KEY,
    fleet_id TEXT COLLATE "C" NOT NULL REFERENCES fleets (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('live', 'leaving', 'gone'))
);
CREATE INDEX fleet_members_by_fleet ON fleet_members (fleet_id, instance_id);

CREATE TABLE fleet_events (
    fleet_id TEXT COLLATE "C" NOT NULL REFERENCES fleets (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('instance-change', 'fleet-change', 'service-error')),
    sub_kind TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    instance_id TEXT COLLATE "C",
    CONSTRAINT fleet_events_fleet_id_seq PRIMARY KEY (fleet_id, seq)
);
CREATE INDEX fleet_events_at_ms ON fleet_events (at_ms);
