-- Addresses of NAT gateways besides their primary ones (nat_address.rs).

CREATE TABLE nat_addresses (
    gateway_id TEXT COLLATE "C" NOT NULL REFERENCES nat_gateways (id) ON DELETE CASCADE,
    -- A secondary address of the gateway's interface.
    address TEXT COLLATE "C" NOT NULL,
    -- The elastic IP that leads to it.
    allocation_id TEXT COLLATE "C",
    association_id TEXT COLLATE "C",
    public_ip TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    -- The gateway's, since which it is so: what its node has to have applied.
    generation BIGINT NOT NULL,
    -- Its flows may go on until then.
    drained_ms BIGINT,
    CONSTRAINT nat_addresses_gateway_id_address PRIMARY KEY (gateway_id, address)
);
CREATE INDEX nat_addresses_by_drained ON nat_addresses (drained_ms);
