-- Room that is kept: capacity reservations with their slots on nodes, dedicated hosts, and who uses them.
CREATE TABLE capacity_reservations (
    id TEXT NOT NULL CONSTRAINT capacity_reservations_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    zone TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'expired', 'cancelled')),
    generation INTEGER NOT NULL,
    instance_type TEXT NOT NULL,
    platform TEXT NOT NULL,
    tenancy TEXT NOT NULL CHECK (tenancy IN ('default', 'dedicated')),
    match_criteria TEXT NOT NULL CHECK (match_criteria IN ('open', 'targeted')),
    -- Of one slot.
    vcpus INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    -- {node: slots} as JSON.
    slots TEXT NOT NULL,
    ebs_optimized INTEGER NOT NULL,
    ephemeral_storage INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    -- When it is to end by itself.
    end_ms INTEGER,
    -- When it ended.
    ended_ms INTEGER
) STRICT;
CREATE INDEX capacity_reservations_by_account ON capacity_reservations (account_id, id);
CREATE INDEX capacity_reservations_by_state ON capacity_reservations (state, zone);

-- The instances that use a slot, or used it when they last ran: a stopped one keeps its disk.
CREATE TABLE capacity_uses (
    instance_id TEXT NOT NULL CONSTRAINT capacity_uses_instance_id PRIMARY KEY
        REFERENCES instances (id) ON DELETE CASCADE,
    reservation_id TEXT NOT NULL REFERENCES capacity_reservations (id)
) STRICT;
CREATE INDEX capacity_uses_by_reservation ON capacity_uses (reservation_id);

CREATE TABLE dedicated_hosts (
    id TEXT NOT NULL CONSTRAINT dedicated_hosts_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    zone TEXT NOT NULL,
    node_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('available', 'released')),
    generation INTEGER NOT NULL,
    -- Either or: instances of this type, or of all types of this family.
    instance_type TEXT,
    instance_family TEXT,
    auto_placement INTEGER NOT NULL,
    client_token TEXT,
    -- What the node hands out, as it was when the host was allocated.
    vcpus INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    released_ms INTEGER
) STRICT;
CREATE INDEX dedicated_hosts_by_account ON dedicated_hosts (account_id, id);
CREATE UNIQUE INDEX dedicated_hosts_node_id ON dedicated_hosts (node_id) WHERE state = 'available';

-- The instances on a host, until their node has let go of them.
CREATE TABLE host_uses (
    instance_id TEXT NOT NULL CONSTRAINT host_uses_instance_id PRIMARY KEY
        REFERENCES instances (id) ON DELETE CASCADE,
    host_id TEXT NOT NULL REFERENCES dedicated_hosts (id)
) STRICT;
CREATE INDEX host_uses_by_host ON host_uses (host_id);
