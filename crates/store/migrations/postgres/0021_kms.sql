-- Keys of the key management service. The document has what no query looks into.
CREATE TABLE kms_keys (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT kms_keys_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    state TEXT COLLATE "C" NOT NULL,
    doc TEXT COLLATE "C" NOT NULL,
    policy TEXT COLLATE "C" NOT NULL,
    delete_ms BIGINT,
    rotate_ms BIGINT,
    created_ms BIGINT NOT NULL
);
CREATE INDEX kms_keys_by_account ON kms_keys (account_id, id);
CREATE INDEX kms_keys_by_deletion ON kms_keys (delete_ms) WHERE delete_ms IS NOT NULL;
CREATE INDEX kms_keys_by_rotation ON kms_keys (rotate_ms) WHERE rotate_ms IS NOT NULL;
-- What they encrypt with, sealed with the database's key: the newest encrypts, all decrypt.
CREATE TABLE kms_material (
    key_id TEXT COLLATE "C" NOT NULL REFERENCES kms_keys (id) ON DELETE CASCADE,
    n BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    CONSTRAINT kms_material_key_id_n PRIMARY KEY (key_id, n)
);
-- Other names of them.
CREATE TABLE kms_aliases (
    account_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL REFERENCES kms_keys (id) ON DELETE CASCADE,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    CONSTRAINT kms_aliases_account_id_name PRIMARY KEY (account_id, name)
);
CREATE INDEX kms_aliases_by_key ON kms_aliases (key_id, name);
