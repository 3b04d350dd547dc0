-- Flow logs (flow_log.rs): whose traffic is recorded, and where the records go.

CREATE TABLE flow_logs (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT flow_logs_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    vpc_id TEXT COLLATE "C" NOT NULL REFERENCES vpcs (id) ON DELETE CASCADE,
    -- The VPC, a subnet, or an interface.
    resource_id TEXT COLLATE "C" NOT NULL,
    -- ACCEPT, REJECT or ALL.
    traffic TEXT COLLATE "C" NOT NULL,
    bucket TEXT COLLATE "C" NOT NULL,
    -- Of the keys in the bucket; with a slash at its end, or empty.
    prefix TEXT COLLATE "C" NOT NULL,
    -- Fields of a record, with spaces between them.
    format TEXT COLLATE "C" NOT NULL,
    interval_s BIGINT NOT NULL,
    hive BOOLEAN NOT NULL,
    per_hour BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL,
    -- What came of the last delivery; NULL: none was tried. Empty: it succeeded.
    error TEXT COLLATE "C"
);
CREATE INDEX flow_logs_by_account ON flow_logs (account_id, id);
CREATE INDEX flow_logs_by_vpc ON flow_logs (vpc_id);
CREATE UNIQUE INDEX flow_logs_resource_id_bucket_prefix ON flow_logs (resource_id, bucket, prefix);

-- They go with what they are of.
CREATE FUNCTION flow_logs_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM flow_logs WHERE resource_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER subnets_flow_logs AFTER DELETE ON subnets FOR EACH ROW EXECUTE FUNCTION flow_logs_forget();
CREATE TRIGGER interfaces_flow_logs AFTER DELETE ON interfaces FOR EACH ROW EXECUTE FUNCTION flow_logs_forget();
CREATE FUNCTION flow_logs_tags_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tags WHERE resource_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER flow_logs_tags AFTER DELETE ON flow_logs FOR EACH ROW EXECUTE FUNCTION flow_logs_tags_forget();
CREATE TRIGGER flow_logs_creator AFTER DELETE ON flow_logs FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
