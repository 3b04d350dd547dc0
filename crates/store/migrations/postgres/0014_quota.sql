-- Quotas (quota.rs): values that an administrator set, requests for more, and who made what, so that a user's own quota
-- counts the user's own. What is in use is never written down: it is counted from the rows themselves.
CREATE TABLE quota_settings (
    account_id TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    value BIGINT NOT NULL,
    set_ms BIGINT NOT NULL,
    CONSTRAINT quota_settings_account_id_service_code PRIMARY KEY (account_id, service, code)
);

CREATE TABLE quota_requests (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT quota_requests_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    desired BIGINT NOT NULL,
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('PENDING', 'APPROVED', 'DENIED')),
    requester TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX quota_requests_by_account ON quota_requests (account_id, service, code);
CREATE INDEX quota_requests_by_status ON quota_requests (status, id);
-- One open request for each quota of an account.
CREATE UNIQUE INDEX quota_requests_account_id_service_code ON quota_requests (account_id, service, code)
    WHERE status = 'PENDING';

-- Unique ids of the users and roles that made resources; a resource of an account's root stands in no row.
CREATE TABLE resource_creators (
    resource_id TEXT COLLATE "C" NOT NULL CONSTRAINT resource_creators_resource_id PRIMARY KEY,
    creator TEXT COLLATE "C" NOT NULL
);
CREATE INDEX resource_creators_by_creator ON resource_creators (creator, resource_id);

-- What an instance takes, out of its document, so that sums are made in an index.
ALTER TABLE instances ADD COLUMN vcpus BIGINT GENERATED ALWAYS AS (CAST(CAST(doc AS JSON) ->> 'vcpus' AS BIGINT)) STORED;
ALTER TABLE instances ADD COLUMN memory_mib BIGINT GENERATED ALWAYS AS (CAST(CAST(doc AS JSON) ->> 'memory_mib' AS BIGINT)) STORED;
ALTER TABLE instances ADD COLUMN root_disk_bytes BIGINT GENERATED ALWAYS AS (CAST(CAST(doc AS JSON) ->> 'root_disk_bytes' AS BIGINT)) STORED;
CREATE INDEX instances_by_use ON instances (account_id, state, vcpus, memory_mib, root_disk_bytes);

CREATE FUNCTION resource_creators_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER instances_creator AFTER DELETE ON instances FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER key_pairs_creator AFTER DELETE ON key_pairs FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER security_groups_creator AFTER DELETE ON security_groups FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER launch_templates_creator AFTER DELETE ON launch_templates FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER placement_groups_creator AFTER DELETE ON placement_groups FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER images_creator AFTER DELETE ON images FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER roles_creator AFTER DELETE ON roles FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER instance_profiles_creator AFTER DELETE ON instance_profiles FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER iam_policies_creator AFTER DELETE ON iam_policies FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER server_certificates_creator AFTER DELETE ON server_certificates FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE FUNCTION resource_creators_forget_bucket() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM resource_creators WHERE resource_id = 'bucket:' || OLD.name;
    RETURN NULL;
END $$;
CREATE TRIGGER s3_buckets_creator AFTER DELETE ON s3_buckets
    FOR EACH ROW EXECUTE FUNCTION resource_creators_forget_bucket();
CREATE FUNCTION quotas_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM quota_settings WHERE account_id = OLD.id;
    DELETE FROM quota_requests WHERE account_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER accounts_quotas AFTER DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION quotas_forget();
