-- Scheduled events: what the administrator announced for instances, one row each.
CREATE TABLE instance_events (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT instance_events_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    -- They are forgotten with their instance.
    instance_id TEXT COLLATE "C" NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    -- The node it was on when the event was announced.
    node_id TEXT COLLATE "C",
    code TEXT COLLATE "C" NOT NULL CHECK (code IN ('instance-reboot', 'instance-stop', 'instance-retirement', 'system-reboot',
        'system-maintenance')),
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('scheduled', 'completed', 'canceled')),
    description TEXT COLLATE "C" NOT NULL,
    not_before_ms BIGINT NOT NULL,
    not_after_ms BIGINT,
    -- Until when its owner may move its start.
    deadline_ms BIGINT,
    -- Reboots of the instance when the event was announced: one more has done what was announced.
    reboot_seq BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    -- When it was completed or canceled.
    ended_ms BIGINT
);
CREATE INDEX instance_events_by_instance ON instance_events (instance_id);
CREATE INDEX instance_events_scheduled ON instance_events (not_before_ms, id) WHERE state = 'scheduled';
CREATE INDEX instance_events_ended ON instance_events (ended_ms) WHERE ended_ms IS NOT NULL;
