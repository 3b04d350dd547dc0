-- Identity: roles, instance profiles, and the credentials of users beside access keys. Types and names as in 0001;
-- names of one kind are unique in an account without regard to case.

-- Who may be assumed.
CREATE TABLE roles (
    id TEXT NOT NULL CONSTRAINT roles_id PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    description TEXT,
    trust TEXT NOT NULL,
    max_session_seconds INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    last_used_ms INTEGER,
    last_used_region TEXT
) STRICT;
CREATE UNIQUE INDEX roles_account_id_name ON roles (account_id, LOWER(name));

-- What carries a role to an instance.
CREATE TABLE instance_profiles (
    id TEXT NOT NULL CONSTRAINT instance_profiles_id PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    role_id TEXT REFERENCES roles (id),
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX instance_profiles_account_id_name ON instance_profiles (account_id, LOWER(name));
CREATE INDEX instance_profiles_by_role ON instance_profiles (role_id);

-- Which profile an instance has. The profile may be deleted meanwhile, as in EC2.
CREATE TABLE profile_associations (
    id TEXT NOT NULL CONSTRAINT profile_associations_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    instance_id TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    profile_id TEXT NOT NULL,
    profile_arn TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX profile_associations_instance_id ON profile_associations (instance_id);
CREATE INDEX profile_associations_by_account ON profile_associations (account_id, id);

-- Passwords: Argon2id hashes, the earlier ones for the rule against using them again.
CREATE TABLE login_profiles (
    user_id TEXT NOT NULL CONSTRAINT login_profiles_user_id PRIMARY KEY REFERENCES users (id),
    account_id TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    reset_required INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    last_used_ms INTEGER,
    earlier_hashes TEXT NOT NULL
) STRICT;
CREATE INDEX login_profiles_by_account ON login_profiles (account_id);

-- An account's rules for passwords.
CREATE TABLE password_policies (
    account_id TEXT NOT NULL CONSTRAINT password_policies_account_id PRIMARY KEY REFERENCES accounts (id),
    doc TEXT NOT NULL
) STRICT;

-- Virtual devices; the seed is sealed. last_step: the newest code that was taken, so that none is taken twice.
CREATE TABLE mfa_devices (
    serial TEXT NOT NULL CONSTRAINT mfa_devices_serial PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    sealed_seed BLOB NOT NULL,
    user_id TEXT REFERENCES users (id),
    enabled_ms INTEGER,
    clock_steps INTEGER NOT NULL,
    last_step INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX mfa_devices_by_account ON mfa_devices (account_id, serial);
CREATE INDEX mfa_devices_by_user ON mfa_devices (user_id);

-- Certificates users sign with.
CREATE TABLE signing_certificates (
    id TEXT NOT NULL CONSTRAINT signing_certificates_id PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    account_id TEXT NOT NULL,
    body TEXT NOT NULL,
    digest TEXT NOT NULL,
    active INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX signing_certificates_user_id_digest ON signing_certificates (user_id, digest);

-- Certificates of servers; the private key is sealed.
CREATE TABLE server_certificates (
    id TEXT NOT NULL CONSTRAINT server_certificates_id PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    body TEXT NOT NULL,
    chain TEXT,
    sealed_key BLOB NOT NULL,
    expires_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX server_certificates_account_id_name ON server_certificates (account_id, LOWER(name));

-- SSH keys of users.
CREATE TABLE ssh_public_keys (
    id TEXT NOT NULL CONSTRAINT ssh_public_keys_id PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    account_id TEXT NOT NULL,
    body TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    active INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX ssh_public_keys_user_id_fingerprint ON ssh_public_keys (user_id, fingerprint);

-- Who else an account believes about identities.
CREATE TABLE oidc_providers (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    url TEXT NOT NULL,
    client_ids TEXT NOT NULL,
    thumbprints TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    CONSTRAINT oidc_providers_account_id_url PRIMARY KEY (account_id, url)
) STRICT;

-- The last report of each account.
CREATE TABLE credential_reports (
    account_id TEXT NOT NULL CONSTRAINT credential_reports_account_id PRIMARY KEY REFERENCES accounts (id),
    content TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
