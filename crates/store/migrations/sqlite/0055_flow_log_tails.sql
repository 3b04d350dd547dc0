-- Flow logs whose interface, subnet or VPC has gone (flow_log.rs): what nodes still tell of its last minutes is delivered.

CREATE TABLE flow_log_tails (
    id TEXT NOT NULL CONSTRAINT flow_log_tails_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    vpc_id TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    traffic TEXT NOT NULL,
    bucket TEXT NOT NULL,
    prefix TEXT NOT NULL,
    format TEXT NOT NULL,
    interval_s INTEGER NOT NULL,
    hive INTEGER NOT NULL,
    per_hour INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    error TEXT,
    -- When what it was of went.
    ended_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX flow_log_tails_by_resource ON flow_log_tails (resource_id);
CREATE INDEX flow_log_tails_by_end ON flow_log_tails (ended_ms);
CREATE INDEX flow_log_tails_by_account ON flow_log_tails (account_id);
