-- Quotas (quota.rs): values that an administrator set, requests for more, and who made what, so that a user's own quota
-- counts the user's own. What is in use is never written down: it is counted from the rows themselves.
CREATE TABLE quota_settings (
    account_id TEXT NOT NULL,
    service TEXT NOT NULL,
    code TEXT NOT NULL,
    value INTEGER NOT NULL,
    set_ms INTEGER NOT NULL,
    CONSTRAINT quota_settings_account_id_service_code PRIMARY KEY (account_id, service, code)
) STRICT;

CREATE TABLE quota_requests (
    id TEXT NOT NULL CONSTRAINT quota_requests_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    service TEXT NOT NULL,
    code TEXT NOT NULL,
    desired INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('PENDING', 'APPROVED', 'DENIED')),
    requester TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX quota_requests_by_account ON quota_requests (account_id, service, code);
CREATE INDEX quota_requests_by_status ON quota_requests (status, id);
-- One open request for each quota of an account.
CREATE UNIQUE INDEX quota_requests_account_id_service_code ON quota_requests (account_id, service, code)
    WHERE status = 'PENDING';

-- Unique ids of the users and roles that made resources; a resource of an account's root stands in no row.
CREATE TABLE resource_creators (
    resource_id TEXT NOT NULL CONSTRAINT resource_creators_resource_id PRIMARY KEY,
    creator TEXT NOT NULL
) STRICT;
CREATE INDEX resource_creators_by_creator ON resource_creators (creator, resource_id);

-- What an instance takes, out of its document, so that sums are made in an index.
ALTER TABLE instances ADD COLUMN vcpus INTEGER GENERATED ALWAYS AS (json_extract(doc, '$.vcpus')) VIRTUAL;
ALTER TABLE instances ADD COLUMN memory_mib INTEGER GENERATED ALWAYS AS (json_extract(doc, '$.memory_mib')) VIRTUAL;
ALTER TABLE instances ADD COLUMN root_disk_bytes INTEGER GENERATED ALWAYS AS (json_extract(doc, '$.root_disk_bytes')) VIRTUAL;
CREATE INDEX instances_by_use ON instances (account_id, state, vcpus, memory_mib, root_disk_bytes);

CREATE TRIGGER instances_creator AFTER DELETE ON instances BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER key_pairs_creator AFTER DELETE ON key_pairs BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER security_groups_creator AFTER DELETE ON security_groups BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER launch_templates_creator AFTER DELETE ON launch_templates BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER placement_groups_creator AFTER DELETE ON placement_groups BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER images_creator AFTER DELETE ON images BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER roles_creator AFTER DELETE ON roles BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER instance_profiles_creator AFTER DELETE ON instance_profiles BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER iam_policies_creator AFTER DELETE ON iam_policies BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER server_certificates_creator AFTER DELETE ON server_certificates BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER s3_buckets_creator AFTER DELETE ON s3_buckets BEGIN
    DELETE FROM resource_creators WHERE resource_id = 'bucket:' || OLD.name;
END;
CREATE TRIGGER accounts_quotas AFTER DELETE ON accounts BEGIN
    DELETE FROM quota_settings WHERE account_id = OLD.id;
    DELETE FROM quota_requests WHERE account_id = OLD.id;
END;
