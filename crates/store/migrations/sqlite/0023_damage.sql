-- Blobs whose bytes were found damaged or missing, until they are found whole or nothing refers to them any more.
CREATE TABLE s3_damage (
    blob_id TEXT NOT NULL CONSTRAINT s3_damage_blob_id PRIMARY KEY,
    found_ms INTEGER NOT NULL,
    what TEXT NOT NULL
) STRICT, WITHOUT ROWID;
