-- Temporary credentials that STS gave out. Whom they are for is looked up at each use: no foreign keys, so that a
-- user or role can be deleted while sessions of it last, which then end.
CREATE TABLE sessions (
    id TEXT NOT NULL CONSTRAINT sessions_id PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    issued_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    doc TEXT NOT NULL,
    sealed_secret BLOB NOT NULL
) STRICT;
CREATE INDEX sessions_expires_ms ON sessions (expires_ms);
