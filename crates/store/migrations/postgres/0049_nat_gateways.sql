-- NAT gateways (nat_gateway.rs), and whose each interface is (interface.rs).

ALTER TABLE interfaces ADD COLUMN kind TEXT COLLATE "C" NOT NULL DEFAULT 'interface';

CREATE TABLE nat_gateways (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT nat_gateways_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    vpc_id TEXT COLLATE "C" NOT NULL,
    subnet_id TEXT COLLATE "C" NOT NULL,
    zone TEXT COLLATE "C" NOT NULL,
    -- Between private networks only.
    private BOOLEAN NOT NULL,
    -- What it was made with. One that failed has none of it, and of one that is gone they are somebody else's by now.
    interface_id TEXT COLLATE "C",
    private_ip TEXT COLLATE "C",
    allocation_id TEXT COLLATE "C",
    association_id TEXT COLLATE "C",
    public_ip TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    failure_code TEXT COLLATE "C",
    failure_message TEXT COLLATE "C",
    -- Where it is, and which of its places that is.
    node_id TEXT COLLATE "C",
    incarnation BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    -- When it failed, or was gone.
    ended_ms BIGINT,
    -- The interface while it is the gateway's: it does not go before.
    live_interface TEXT COLLATE "C" REFERENCES interfaces (id)
);
CREATE INDEX nat_gateways_by_account ON nat_gateways (account_id, id);
CREATE INDEX nat_gateways_by_ended ON nat_gateways (ended_ms);
CREATE UNIQUE INDEX nat_gateways_live_interface ON nat_gateways (live_interface);

CREATE TRIGGER nat_gateways_creator AFTER DELETE ON nat_gateways FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
