-- The credentials that the metadata service gives to an instance: of the role of its instance profile. One row for each
-- instance that ever had a profile; `version` grows with every change, so that a node knows old from new.
CREATE TABLE instance_credentials (
    instance_id TEXT COLLATE "C" NOT NULL CONSTRAINT instance_credentials_instance_id PRIMARY KEY
        REFERENCES instances (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    profile_id TEXT COLLATE "C" NOT NULL,
    profile_arn TEXT COLLATE "C" NOT NULL,
    role_name TEXT COLLATE "C",
    code TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C",
    issued_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    renew_ms BIGINT,
    sealed BYTEA
);
CREATE INDEX instance_credentials_renew_ms ON instance_credentials (renew_ms);
CREATE INDEX instance_credentials_profile_id ON instance_credentials (profile_id);
-- Instances that have a profile already get theirs at once.
INSERT INTO instance_credentials
    (instance_id, version, profile_id, profile_arn, role_name, code, session_id, issued_ms, expires_ms, renew_ms, sealed)
    SELECT instance_id, 1, profile_id, profile_arn, NULL, 'success', NULL, 0, 0, 0, NULL FROM profile_associations;
