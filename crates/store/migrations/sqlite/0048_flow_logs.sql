-- Flow logs (flow_log.rs): whose traffic is recorded, and where the records go.

CREATE TABLE flow_logs (
    id TEXT NOT NULL CONSTRAINT flow_logs_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    vpc_id TEXT NOT NULL REFERENCES vpcs (id) ON DELETE CASCADE,
    -- The VPC, a subnet, or an interface.
    resource_id TEXT NOT NULL,
    -- ACCEPT, REJECT or ALL.
    traffic TEXT NOT NULL,
    bucket TEXT NOT NULL,
    -- Of the keys in the bucket; with a slash at its end, or empty.
    prefix TEXT NOT NULL,
    -- Fields of a record, with spaces between them.
    format TEXT NOT NULL,
    interval_s INTEGER NOT NULL,
    hive INTEGER NOT NULL,
    per_hour INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    -- What came of the last delivery; NULL: none was tried. Empty: it succeeded.
    error TEXT
) STRICT;
CREATE INDEX flow_logs_by_account ON flow_logs (account_id, id);
CREATE INDEX flow_logs_by_vpc ON flow_logs (vpc_id);
CREATE UNIQUE INDEX flow_logs_resource_id_bucket_prefix ON flow_logs (resource_id, bucket, prefix);

-- They go with what they are of.
CREATE TRIGGER subnets_flow_logs AFTER DELETE ON subnets BEGIN
    DELETE FROM flow_logs WHERE resource_id = OLD.id;
END;
CREATE TRIGGER interfaces_flow_logs AFTER DELETE ON interfaces BEGIN
    DELETE FROM flow_logs WHERE resource_id = OLD.id;
END;
CREATE TRIGGER flow_logs_tags AFTER DELETE ON flow_logs BEGIN
    DELETE FROM tags WHERE resource_id = OLD.id;
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
