-- NAT gateways (nat_gateway.rs), and whose each interface is (interface.rs).

ALTER TABLE interfaces ADD COLUMN kind TEXT NOT NULL DEFAULT 'interface';

CREATE TABLE nat_gateways (
    id TEXT NOT NULL CONSTRAINT nat_gateways_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    vpc_id TEXT NOT NULL,
    subnet_id TEXT NOT NULL,
    zone TEXT NOT NULL,
    -- Between private networks only.
    private INTEGER NOT NULL,
    -- What it was made with. One that failed has none of it, and of one that is gone they are somebody else's by now.
    interface_id TEXT,
    private_ip TEXT,
    allocation_id TEXT,
    association_id TEXT,
    public_ip TEXT,
    state TEXT NOT NULL,
    failure_code TEXT,
    failure_message TEXT,
    -- Where it is, and which of its places that is.
    node_id TEXT,
    incarnation INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    -- When it failed, or was gone.
    ended_ms INTEGER,
    -- The interface while it is the gateway's: it does not go before.
    live_interface TEXT REFERENCES interfaces (id)
) STRICT;
CREATE INDEX nat_gateways_by_account ON nat_gateways (account_id, id);
CREATE INDEX nat_gateways_by_ended ON nat_gateways (ended_ms);
CREATE UNIQUE INDEX nat_gateways_live_interface ON nat_gateways (live_interface);

CREATE TRIGGER nat_gateways_creator AFTER DELETE ON nat_gateways BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
