-- Spot instances: the requests for them, one an instance, and what the administrator asks for an hour of a type.
-- A request holds the launch it stands for (launch: JSON, without the user data), because a persistent one launches
-- again, and an open one when there is room. Notices of interruptions are rows too: whoever leads next acts on them.
CREATE TABLE spot_requests (
    id TEXT NOT NULL CONSTRAINT spot_requests_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'active', 'disabled', 'closed', 'cancelled', 'failed')),
    status_code TEXT NOT NULL,
    status_message TEXT NOT NULL,
    status_ms INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('one-time', 'persistent')),
    behavior TEXT NOT NULL CHECK (behavior IN ('terminate', 'stop')),
    max_price TEXT,
    zone TEXT,
    instance_id TEXT,
    valid_from_ms INTEGER,
    valid_until_ms INTEGER,
    -- A notice was given: when the instance is to be interrupted.
    interrupt_ms INTEGER,
    -- When an instance of this request was interrupted last, and for the operator: why.
    interrupted_ms INTEGER,
    interruption TEXT,
    created_ms INTEGER NOT NULL,
    -- When it was closed, cancelled, or failed.
    ended_ms INTEGER,
    launch TEXT NOT NULL,
    user_data BLOB
) STRICT;
CREATE INDEX spot_requests_by_account ON spot_requests (account_id, id);
CREATE UNIQUE INDEX spot_requests_instance_id ON spot_requests (instance_id);
CREATE INDEX spot_requests_open ON spot_requests (created_ms, id) WHERE state = 'open';
CREATE INDEX spot_requests_marked ON spot_requests (interrupt_ms) WHERE interrupt_ms IS NOT NULL;
CREATE INDEX spot_requests_interrupted ON spot_requests (zone, interrupted_ms) WHERE interrupted_ms IS NOT NULL;
CREATE INDEX spot_requests_ended ON spot_requests (ended_ms) WHERE ended_ms IS NOT NULL;

CREATE TABLE spot_prices (
    instance_type TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    price TEXT NOT NULL,
    CONSTRAINT spot_prices_instance_type_from_ms PRIMARY KEY (instance_type, from_ms)
) STRICT, WITHOUT ROWID;
