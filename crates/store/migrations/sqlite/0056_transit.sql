-- Transit gateways (transit.rs): what is attached to one, and where its tables lead. What has ended is shown for a while.

CREATE TABLE transit_gateways (
    id TEXT NOT NULL CONSTRAINT transit_gateways_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    description TEXT NOT NULL,
    asn INTEGER NOT NULL,
    dns INTEGER NOT NULL,
    ecmp INTEGER NOT NULL,
    auto_accept INTEGER NOT NULL,
    -- Of what is attached: the table that decides about it, and the one that knows its blocks.
    default_association INTEGER NOT NULL,
    default_propagation INTEGER NOT NULL,
    association_table TEXT,
    propagation_table TEXT,
    state TEXT NOT NULL,
    -- Grows with every change of it, of what is attached, and of its tables.
    generation INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    ended_ms INTEGER
) STRICT;
CREATE INDEX transit_gateways_by_account ON transit_gateways (account_id, id);
CREATE INDEX transit_gateways_by_ended ON transit_gateways (ended_ms);

CREATE TABLE transit_tables (
    id TEXT NOT NULL CONSTRAINT transit_tables_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    gateway_id TEXT NOT NULL REFERENCES transit_gateways (id),
    state TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    ended_ms INTEGER
) STRICT;
CREATE INDEX transit_tables_by_account ON transit_tables (account_id, id);
CREATE INDEX transit_tables_by_gateway ON transit_tables (gateway_id);
CREATE INDEX transit_tables_by_ended ON transit_tables (ended_ms);

CREATE TABLE transit_attachments (
    id TEXT NOT NULL CONSTRAINT transit_attachments_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    gateway_id TEXT NOT NULL REFERENCES transit_gateways (id),
    vpc_id TEXT NOT NULL,
    -- One of each zone, as JSON.
    subnets TEXT NOT NULL,
    dns INTEGER NOT NULL,
    -- The table that decides about packets from the VPC.
    table_id TEXT REFERENCES transit_tables (id),
    state TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    -- The VPC while it is attached: it does not go before.
    live_vpc TEXT REFERENCES vpcs (id)
) STRICT;
CREATE INDEX transit_attachments_by_account ON transit_attachments (account_id, id);
CREATE INDEX transit_attachments_by_gateway ON transit_attachments (gateway_id);
CREATE INDEX transit_attachments_by_table ON transit_attachments (table_id);
CREATE INDEX transit_attachments_by_live_vpc ON transit_attachments (live_vpc);
CREATE INDEX transit_attachments_by_ended ON transit_attachments (ended_ms);
CREATE UNIQUE INDEX transit_attachments_gateway_id_live_vpc ON transit_attachments (gateway_id, live_vpc);

-- A table knows the blocks of what is attached.
CREATE TABLE transit_propagations (
    table_id TEXT NOT NULL REFERENCES transit_tables (id) ON DELETE CASCADE,
    attachment_id TEXT NOT NULL REFERENCES transit_attachments (id) ON DELETE CASCADE,
    CONSTRAINT transit_propagations_table_id_attachment_id PRIMARY KEY (table_id, attachment_id)
) STRICT;
CREATE INDEX transit_propagations_by_attachment ON transit_propagations (attachment_id);

-- Routes that somebody made.
CREATE TABLE transit_routes (
    table_id TEXT NOT NULL REFERENCES transit_tables (id) ON DELETE CASCADE,
    destination TEXT NOT NULL,
    -- None, or one that has gone: packets are dropped.
    attachment_id TEXT,
    CONSTRAINT transit_routes_table_id_destination PRIMARY KEY (table_id, destination)
) STRICT;

CREATE TRIGGER transit_gateways_creator AFTER DELETE ON transit_gateways BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER transit_attachments_creator AFTER DELETE ON transit_attachments BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER transit_tables_creator AFTER DELETE ON transit_tables BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
