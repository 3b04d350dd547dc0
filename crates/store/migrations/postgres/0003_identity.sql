-- Identity: roles, instance profiles, and the credentials of users beside access keys. Types and names as in 0001;
-- names of one kind are unique in an account without regard to case.

-- Who may be assumed.
CREATE TABLE roles (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT roles_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    trust TEXT COLLATE "C" NOT NULL,
    max_session_seconds BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    last_used_ms BIGINT,
    last_used_region TEXT COLLATE "C"
);
CREATE UNIQUE INDEX roles_account_id_name ON roles (account_id, LOWER(name));

-- What carries a role to an instance.
CREATE TABLE instance_profiles (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT instance_profiles_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    role_id TEXT COLLATE "C" REFERENCES roles (id),
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX instance_profiles_account_id_name ON instance_profiles (account_id, LOWER(name));
CREATE INDEX instance_profiles_by_role ON instance_profiles (role_id);

-- Which profile an instance has. The profile may be deleted meanwhile, as in EC2.
CREATE TABLE profile_associations (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT profile_associations_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    instance_id TEXT COLLATE "C" NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    profile_id TEXT COLLATE "C" NOT NULL,
    profile_arn TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX profile_associations_instance_id ON profile_associations (instance_id);
CREATE INDEX profile_associations_by_account ON profile_associations (account_id, id);

-- Passwords: Argon2id hashes, the earlier ones for the rule against using them again.
CREATE TABLE login_profiles (
    user_id TEXT COLLATE "C" NOT NULL CONSTRAINT login_profiles_user_id PRIMARY KEY REFERENCES users (id),
    account_id TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C" NOT NULL,
    reset_required BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    last_used_ms BIGINT,
    earlier_hashes TEXT COLLATE "C" NOT NULL
);
CREATE INDEX login_profiles_by_account ON login_profiles (account_id);

-- An account's rules for passwords.
CREATE TABLE password_policies (
    account_id TEXT COLLATE "C" NOT NULL CONSTRAINT password_policies_account_id PRIMARY KEY REFERENCES accounts (id),
    doc TEXT COLLATE "C" NOT NULL
);

-- Virtual devices; the seed is sealed. last_step: the newest code that was taken, so that none is taken twice.
CREATE TABLE mfa_devices (
    serial TEXT COLLATE "C" NOT NULL CONSTRAINT mfa_devices_serial PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    sealed_seed BYTEA NOT NULL,
    user_id TEXT COLLATE "C" REFERENCES users (id),
    enabled_ms BIGINT,
    clock_steps BIGINT NOT NULL,
    last_step BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX mfa_devices_by_account ON mfa_devices (account_id, serial);
CREATE INDEX mfa_devices_by_user ON mfa_devices (user_id);

-- Certificates users sign with.
CREATE TABLE signing_certificates (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT signing_certificates_id PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    account_id TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    active BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX signing_certificates_user_id_digest ON signing_certificates (user_id, digest);

-- Certificates of servers; the private key is sealed.
CREATE TABLE server_certificates (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT server_certificates_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    chain TEXT COLLATE "C",
    sealed_key BYTEA NOT NULL,
    expires_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX server_certificates_account_id_name ON server_certificates (account_id, LOWER(name));

-- SSH keys of users.
CREATE TABLE ssh_public_keys (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT ssh_public_keys_id PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    account_id TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    active BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX ssh_public_keys_user_id_fingerprint ON ssh_public_keys (user_id, fingerprint);

-- Who else an account believes about identities.
CREATE TABLE oidc_providers (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    url TEXT COLLATE "C" NOT NULL,
    client_ids TEXT COLLATE "C" NOT NULL,
    thumbprints TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    CONSTRAINT oidc_providers_account_id_url PRIMARY KEY (account_id, url)
);

-- The last report of each account.
CREATE TABLE credential_reports (
    account_id TEXT COLLATE "C" NOT NULL CONSTRAINT credential_reports_account_id PRIMARY KEY REFERENCES accounts (id),
    content TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);
