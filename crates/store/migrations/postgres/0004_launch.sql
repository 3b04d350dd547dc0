-- How instances are launched: templates of launches and their versions.
CREATE TABLE launch_templates (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT launch_templates_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    default_version BIGINT NOT NULL,
    -- Numbers are never given twice, so this is not the highest that is left.
    last_version BIGINT NOT NULL
);
CREATE UNIQUE INDEX launch_templates_account_id_name ON launch_templates (account_id, name);
CREATE INDEX launch_templates_by_account ON launch_templates (account_id, id);

CREATE TABLE launch_template_versions (
    template_id TEXT COLLATE "C" NOT NULL REFERENCES launch_templates (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    description TEXT COLLATE "C",
    created_by TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    data TEXT COLLATE "C" NOT NULL,
    CONSTRAINT launch_template_versions_template_id_version PRIMARY KEY (template_id, version)
);

CREATE TABLE placement_groups (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT placement_groups_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    strategy TEXT COLLATE "C" NOT NULL CHECK (strategy IN ('cluster', 'spread', 'partition')),
    partition_count BIGINT NOT NULL,
    spread_level TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX placement_groups_account_id_name ON placement_groups (account_id, name);
CREATE INDEX placement_groups_by_account ON placement_groups (account_id, id);

-- The instances of a group, until their nodes have let go of them: a group with members cannot go away.
CREATE TABLE placement_members (
    instance_id TEXT COLLATE "C" NOT NULL CONSTRAINT placement_members_instance_id PRIMARY KEY,
    group_id TEXT COLLATE "C" NOT NULL REFERENCES placement_groups (id),
    zone TEXT COLLATE "C" NOT NULL
);
CREATE INDEX placement_members_by_group ON placement_members (group_id, zone);
