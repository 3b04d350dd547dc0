-- Users' groups, policies of every kind, tags of identities, and when access keys were last used (iam_*.rs).
-- A principal is (principal_kind, principal_id): a user, group or role by its unique id, or an account by its number.
-- Names of one kind are unique in an account without regard to case.

DROP INDEX users_account_id_name;
CREATE UNIQUE INDEX users_account_id_name ON users (account_id, LOWER(name));

CREATE TABLE access_key_uses (
    key_id TEXT NOT NULL CONSTRAINT access_key_uses_key_id PRIMARY KEY REFERENCES access_keys (id) ON DELETE CASCADE,
    used_ms INTEGER NOT NULL,
    service TEXT NOT NULL,
    region TEXT NOT NULL
) STRICT;

CREATE TABLE iam_groups (
    id TEXT NOT NULL CONSTRAINT iam_groups_id PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX iam_groups_account_id_name ON iam_groups (account_id, LOWER(name));

CREATE TABLE iam_group_members (
    group_id TEXT NOT NULL REFERENCES iam_groups (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    CONSTRAINT iam_group_members_group_id_user_id PRIMARY KEY (group_id, user_id)
) STRICT;
CREATE INDEX iam_group_members_by_user ON iam_group_members (user_id, group_id);

-- Customer-managed policies; those that come with the cloud are files of the build.
CREATE TABLE iam_policies (
    id TEXT NOT NULL CONSTRAINT iam_policies_id PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    arn TEXT NOT NULL,
    description TEXT NOT NULL,
    default_version INTEGER NOT NULL,
    latest_version INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX iam_policies_account_id_name ON iam_policies (account_id, LOWER(name));
CREATE UNIQUE INDEX iam_policies_arn ON iam_policies (arn);

CREATE TABLE iam_policy_versions (
    policy_id TEXT NOT NULL REFERENCES iam_policies (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    CONSTRAINT iam_policy_versions_policy_id_version PRIMARY KEY (policy_id, version)
) STRICT;

-- Managed policies on principals, by ARN: a policy's name never changes.
CREATE TABLE iam_attachments (
    principal_kind TEXT NOT NULL CHECK (principal_kind IN ('user', 'group', 'role', 'account')),
    principal_id TEXT NOT NULL,
    policy_arn TEXT NOT NULL,
    account_id TEXT NOT NULL,
    attached_ms INTEGER NOT NULL,
    CONSTRAINT iam_attachments_principal_kind_principal_id_policy_arn
        PRIMARY KEY (principal_kind, principal_id, policy_arn)
) STRICT;
CREATE INDEX iam_attachments_by_policy ON iam_attachments (account_id, policy_arn);

CREATE TABLE iam_inline_policies (
    principal_kind TEXT NOT NULL CHECK (principal_kind IN ('user', 'group', 'role', 'account')),
    principal_id TEXT NOT NULL,
    name TEXT NOT NULL,
    account_id TEXT NOT NULL,
    document TEXT NOT NULL,
    CONSTRAINT iam_inline_policies_principal_kind_principal_id_name PRIMARY KEY (principal_kind, principal_id, name)
) STRICT;
CREATE INDEX iam_inline_policies_by_account ON iam_inline_policies (account_id);

CREATE TABLE iam_boundaries (
    principal_kind TEXT NOT NULL CHECK (principal_kind IN ('user', 'role')),
    principal_id TEXT NOT NULL,
    policy_arn TEXT NOT NULL,
    account_id TEXT NOT NULL,
    CONSTRAINT iam_boundaries_principal_kind_principal_id PRIMARY KEY (principal_kind, principal_id)
) STRICT;
CREATE INDEX iam_boundaries_by_policy ON iam_boundaries (account_id, policy_arn);

-- Tags of identities: apart from EC2's, whose DescribeTags must not show them. Keys differ without regard to case.
CREATE TABLE iam_tags (
    resource_id TEXT NOT NULL,
    folded_key TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    account_id TEXT NOT NULL,
    CONSTRAINT iam_tags_resource_id_folded_key PRIMARY KEY (resource_id, folded_key)
) STRICT;
CREATE INDEX iam_tags_by_account ON iam_tags (account_id);

-- The account that administers the cloud: the first one, which until this step was the only one.
INSERT INTO settings (key, value) SELECT 'cloud_account', id FROM accounts ORDER BY created_ms, id LIMIT 1;
