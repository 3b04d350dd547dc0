-- Transit gateways (transit.rs): what is attached to one, and where its tables lead. What has ended is shown for a while.

CREATE TABLE transit_gateways (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT transit_gateways_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    asn BIGINT NOT NULL,
    dns BOOLEAN NOT NULL,
    ecmp BOOLEAN NOT NULL,
    auto_accept BOOLEAN NOT NULL,
    -- Of what is attached: the table that decides about it, and the one that knows its blocks.
    default_association BOOLEAN NOT NULL,
    default_propagation BOOLEAN NOT NULL,
    association_table TEXT COLLATE "C",
    propagation_table TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    -- Grows with every change of it, of what is attached, and of its tables.
    generation BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    ended_ms BIGINT
);
CREATE INDEX transit_gateways_by_account ON transit_gateways (account_id, id);
CREATE INDEX transit_gateways_by_ended ON transit_gateways (ended_ms);

CREATE TABLE transit_tables (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT transit_tables_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    gateway_id TEXT COLLATE "C" NOT NULL REFERENCES transit_gateways (id),
    state TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    ended_ms BIGINT
);
CREATE INDEX transit_tables_by_account ON transit_tables (account_id, id);
CREATE INDEX transit_tables_by_gateway ON transit_tables (gateway_id);
CREATE INDEX transit_tables_by_ended ON transit_tables (ended_ms);

CREATE TABLE transit_attachments (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT transit_attachments_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    gateway_id TEXT COLLATE "C" NOT NULL REFERENCES transit_gateways (id),
    vpc_id TEXT COLLATE "C" NOT NULL,
    -- One of each zone, as JSON.
    subnets TEXT COLLATE "C" NOT NULL,
    dns BOOLEAN NOT NULL,
    -- The table that decides about packets from the VPC.
    table_id TEXT COLLATE "C" REFERENCES transit_tables (id),
    state TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    -- The VPC while it is attached: it does not go before.
    live_vpc TEXT COLLATE "C" REFERENCES vpcs (id)
);
CREATE INDEX transit_attachments_by_account ON transit_attachments (account_id, id);
CREATE INDEX transit_attachments_by_gateway ON transit_attachments (gateway_id);
CREATE INDEX transit_attachments_by_table ON transit_attachments (table_id);
CREATE INDEX transit_attachments_by_live_vpc ON transit_attachments (live_vpc);
CREATE INDEX transit_attachments_by_ended ON transit_attachments (ended_ms);
CREATE UNIQUE INDEX transit_attachments_gateway_id_live_vpc ON transit_attachments (gateway_id, live_vpc);

-- A table knows the blocks of what is attached.
CREATE TABLE transit_propagations (
    table_id TEXT COLLATE "C" NOT NULL REFERENCES transit_tables (id) ON DELETE CASCADE,
    attachment_id TEXT COLLATE "C" NOT NULL REFERENCES transit_attachments (id) ON DELETE CASCADE,
    CONSTRAINT transit_propagations_table_id_attachment_id PRIMARY KEY (table_id, attachment_id)
);
CREATE INDEX transit_propagations_by_attachment ON transit_propagations (attachment_id);

-- Routes that somebody made.
CREATE TABLE transit_routes (
    table_id TEXT COLLATE "C" NOT NULL REFERENCES transit_tables (id) ON DELETE CASCADE,
    destination TEXT COLLATE "C" NOT NULL,
    -- None, or one that has gone: packets are dropped.
    attachment_id TEXT COLLATE "C",
    CONSTRAINT transit_routes_table_id_destination PRIMARY KEY (table_id, destination)
);

CREATE TRIGGER transit_gateways_creator AFTER DELETE ON transit_gateways FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER transit_attachments_creator AFTER DELETE ON transit_attachments FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER transit_tables_creator AFTER DELETE ON transit_tables FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
