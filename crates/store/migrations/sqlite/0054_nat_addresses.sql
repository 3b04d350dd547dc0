-- Addresses of NAT gateways besides their primary ones (nat_address.rs).

CREATE TABLE nat_addresses (
    gateway_id TEXT NOT NULL REFERENCES nat_gateways (id) ON DELETE CASCADE,
    -- A secondary address of the gateway's interface.
    address TEXT NOT NULL,
    -- The elastic IP that leads to it.
    allocation_id TEXT,
    association_id TEXT,
    public_ip TEXT,
    state TEXT NOT NULL,
    -- The gateway's, since which it is so: what its node has to have applied.
    generation INTEGER NOT NULL,
    -- Its flows may go on until then.
    drained_ms INTEGER,
    CONSTRAINT nat_addresses_gateway_id_address PRIMARY KEY (gateway_id, address)
) STRICT;
CREATE INDEX nat_addresses_by_drained ON nat_addresses (drained_ms);
