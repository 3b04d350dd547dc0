-- How S3 names accounts: by canonical ids, which others grant access to. An account gets its row when it first uses S3.
CREATE TABLE s3_owners (
    account_id TEXT COLLATE "C" NOT NULL CONSTRAINT s3_owners_account_id PRIMARY KEY,
    canonical_id TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C"
);
CREATE UNIQUE INDEX s3_owners_canonical_id ON s3_owners (canonical_id);
CREATE INDEX s3_owners_by_email ON s3_owners (email) WHERE email IS NOT NULL;
