-- Room that is kept: capacity reservations with their slots on nodes, dedicated hosts, and who uses them.
CREATE TABLE capacity_reservations (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT capacity_reservations_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    zone TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'expired', 'cancelled')),
    generation BIGINT NOT NULL,
    instance_type TEXT COLLATE "C" NOT NULL,
    platform TEXT COLLATE "C" NOT NULL,
    tenancy TEXT COLLATE "C" NOT NULL CHECK (tenancy IN ('default', 'dedicated')),
    match_criteria TEXT COLLATE "C" NOT NULL CHECK (match_criteria IN ('open', 'targeted')),
    -- Of one slot.
    vcpus BIGINT NOT NULL,
    memory_mib BIGINT NOT NULL,
    disk_bytes BIGINT NOT NULL,
    -- {node: slots} as JSON.
    slots TEXT COLLATE "C" NOT NULL,
    ebs_optimized BOOLEAN NOT NULL,
    ephemeral_storage BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL,
    -- When it is to end by itself.
    end_ms BIGINT,
    -- When it ended.
    ended_ms BIGINT
);
CREATE INDEX capacity_reservations_by_account ON capacity_reservations (account_id, id);
CREATE INDEX capacity_reservations_by_state ON capacity_reservations (state, zone);

-- The instances that use a slot, or used it when they last ran: a stopped one keeps its disk.
CREATE TABLE capacity_uses (
    instance_id TEXT COLLATE "C" NOT NULL CONSTRAINT capacity_uses_instance_id PRIMARY KEY
        REFERENCES instances (id) ON DELETE CASCADE,
    reservation_id TEXT COLLATE "C" NOT NULL REFERENCES capacity_reservations (id)
);
CREATE INDEX capacity_uses_by_reservation ON capacity_uses (reservation_id);

CREATE TABLE dedicated_hosts (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT dedicated_hosts_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    zone TEXT COLLATE "C" NOT NULL,
    node_id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('available', 'released')),
    generation BIGINT NOT NULL,
    -- Either or: instances of this type, or of all types of this family.
    instance_type TEXT COLLATE "C",
    instance_family TEXT COLLATE "C",
    auto_placement BOOLEAN NOT NULL,
    client_token TEXT COLLATE "C",
    -- What the node hands out, as it was when the host was allocated.
    vcpus BIGINT NOT NULL,
    memory_mib BIGINT NOT NULL,
    disk_bytes BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    released_ms BIGINT
);
CREATE INDEX dedicated_hosts_by_account ON dedicated_hosts (account_id, id);
CREATE UNIQUE INDEX dedicated_hosts_node_id ON dedicated_hosts (node_id) WHERE state = 'available';

-- The instances on a host, until their node has let go of them.
CREATE TABLE host_uses (
    instance_id TEXT COLLATE "C" NOT NULL CONSTRAINT host_uses_instance_id PRIMARY KEY
        REFERENCES instances (id) ON DELETE CASCADE,
    host_id TEXT COLLATE "C" NOT NULL REFERENCES dedicated_hosts (id)
);
CREATE INDEX host_uses_by_host ON host_uses (host_id);
