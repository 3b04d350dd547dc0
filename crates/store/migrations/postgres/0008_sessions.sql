-- Temporary credentials that STS gave out. Whom they are for is looked up at each use: no foreign keys, so that a
-- user or role can be deleted while sessions of it last, which then end.
CREATE TABLE sessions (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT sessions_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    kind TEXT COLLATE "C" NOT NULL,
    principal_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    token_hash TEXT COLLATE "C" NOT NULL,
    issued_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    doc TEXT COLLATE "C" NOT NULL,
    sealed_secret BYTEA NOT NULL
);
CREATE INDEX sessions_expires_ms ON sessions (expires_ms);
