-- Blobs whose bytes were found damaged or missing, until they are found whole or nothing refers to them any more.
CREATE TABLE s3_damage (
    blob_id TEXT COLLATE "C" NOT NULL CONSTRAINT s3_damage_blob_id PRIMARY KEY,
    found_ms BIGINT NOT NULL,
    what TEXT COLLATE "C" NOT NULL
);
