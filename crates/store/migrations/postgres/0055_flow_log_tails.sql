-- Flow logs whose interface, subnet or VPC has gone (flow_log.rs): what nodes still tell of its last minutes is delivered.

CREATE TABLE flow_log_tails (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT flow_log_tails_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    vpc_id TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    traffic TEXT COLLATE "C" NOT NULL,
    bucket TEXT COLLATE "C" NOT NULL,
    prefix TEXT COLLATE "C" NOT NULL,
    format TEXT COLLATE "C" NOT NULL,
    interval_s BIGINT NOT NULL,
    hive BOOLEAN NOT NULL,
    per_hour BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL,
    error TEXT COLLATE "C",
    -- When what it was of went.
    ended_ms BIGINT NOT NULL
);
CREATE INDEX flow_log_tails_by_resource ON flow_log_tails (resource_id);
CREATE INDEX flow_log_tails_by_end ON flow_log_tails (ended_ms);
CREATE INDEX flow_log_tails_by_account ON flow_log_tails (account_id);
