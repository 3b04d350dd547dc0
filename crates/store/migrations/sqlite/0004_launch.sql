-- How instances are launched: templates of launches and their versions.
CREATE TABLE launch_templates (
    id TEXT NOT NULL CONSTRAINT launch_templates_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    name TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    default_version INTEGER NOT NULL,
    -- Numbers are never given twice, so this is not the highest that is left.
    last_version INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX launch_templates_account_id_name ON launch_templates (account_id, name);
CREATE INDEX launch_templates_by_account ON launch_templates (account_id, id);

CREATE TABLE launch_template_versions (
    template_id TEXT NOT NULL REFERENCES launch_templates (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    description TEXT,
    created_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    data TEXT NOT NULL,
    CONSTRAINT launch_template_versions_template_id_version PRIMARY KEY (template_id, version)
) STRICT;

CREATE TABLE placement_groups (
    id TEXT NOT NULL CONSTRAINT placement_groups_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    name TEXT NOT NULL,
    strategy TEXT NOT NULL CHECK (strategy IN ('cluster', 'spread', 'partition')),
    partition_count INTEGER NOT NULL,
    spread_level TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX placement_groups_account_id_name ON placement_groups (account_id, name);
CREATE INDEX placement_groups_by_account ON placement_groups (account_id, id);

-- The instances of a group, until their nodes have let go of them: a group with members cannot go away.
CREATE TABLE placement_members (
    instance_id TEXT NOT NULL CONSTRAINT placement_members_instance_id PRIMARY KEY,
    group_id TEXT NOT NULL REFERENCES placement_groups (id),
    zone TEXT NOT NULL
) STRICT;
CREATE INDEX placement_members_by_group ON placement_members (group_id, zone);
