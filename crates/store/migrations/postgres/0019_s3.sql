-- Walrus's tables anew: versions of objects, documents of buckets, garbage that survives a crash, and counters in place
-- of sums.
ALTER TABLE s3_buckets ADD COLUMN id BIGINT NOT NULL DEFAULT 0;
-- '' (never enabled), 'Enabled' or 'Suspended'.
ALTER TABLE s3_buckets ADD COLUMN versioning TEXT COLLATE "C" NOT NULL DEFAULT '';
-- One more with every change of the row or of its documents: what is kept of them elsewhere is compared with it.
ALTER TABLE s3_buckets ADD COLUMN rev BIGINT NOT NULL DEFAULT 1;
UPDATE s3_buckets b SET id = n.n
    FROM (SELECT name, row_number() OVER (ORDER BY name) AS n FROM s3_buckets) n WHERE n.name = b.name;
CREATE UNIQUE INDEX s3_buckets_id ON s3_buckets (id);

CREATE TABLE s3_counters (
    name TEXT COLLATE "C" NOT NULL CONSTRAINT s3_counters_name PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO s3_counters (name, value) SELECT 'bucket', COALESCE(MAX(id), 0) FROM s3_buckets;

-- What is configured of a bucket: one document per kind, or per kind and id where there can be many.
CREATE TABLE s3_bucket_docs (
    bucket_id BIGINT NOT NULL REFERENCES s3_buckets (id) ON DELETE CASCADE,
    kind TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    doc TEXT COLLATE "C" NOT NULL,
    updated_ms BIGINT NOT NULL,
    CONSTRAINT s3_bucket_docs_bucket_id_kind_id PRIMARY KEY (bucket_id, kind, id)
);

-- One row for each version of each object, the newest first: `rank` is 0 in a bucket that was never versioned, else
-- minus the microseconds of its writing (falling within a key). `vid` is 0 for the version called null, else random.
-- The bytes are in `blob_id`, in s3_pieces or in `inline`; a delete marker has none. Blobs are no foreign keys: they
-- would be looked for here at each deletion.
CREATE TABLE s3_versions (
    bucket_id BIGINT NOT NULL REFERENCES s3_buckets (id),
    key BYTEA NOT NULL,
    rank BIGINT NOT NULL,
    vid BIGINT NOT NULL,
    latest BOOLEAN NOT NULL,
    marker BOOLEAN NOT NULL,
    write_id TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    etag TEXT COLLATE "C" NOT NULL,
    modified_ms BIGINT NOT NULL,
    class TEXT COLLATE "C" NOT NULL DEFAULT 'STANDARD',
    owner TEXT COLLATE "C" NOT NULL,
    checksums TEXT COLLATE "C" NOT NULL DEFAULT '',
    content_type TEXT COLLATE "C" NOT NULL DEFAULT '',
    headers TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    tags TEXT COLLATE "C" NOT NULL DEFAULT '',
    acl TEXT COLLATE "C",
    lock_mode TEXT COLLATE "C",
    lock_until_ms BIGINT,
    legal_hold BOOLEAN NOT NULL DEFAULT FALSE,
    enc TEXT COLLATE "C",
    repl TEXT COLLATE "C",
    upload_id TEXT COLLATE "C",
    blob_id TEXT COLLATE "C",
    pieces BIGINT NOT NULL DEFAULT 0,
    inline BYTEA,
    CONSTRAINT s3_versions_bucket_id_key_rank PRIMARY KEY (bucket_id, key, rank)
);
-- Reads of an index alone need pages that vacuum has marked, also where rows are only added.
ALTER TABLE s3_versions SET (autovacuum_vacuum_insert_scale_factor = 0.02);
-- All that a listing of objects reads.
CREATE INDEX s3_versions_listed ON s3_versions (bucket_id, key)
    INCLUDE (size_bytes, etag, modified_ms, class, owner, checksums) WHERE latest AND NOT marker;
-- Finds the null version below newer ones.
CREATE UNIQUE INDEX s3_versions_bucket_id_key ON s3_versions (bucket_id, key) WHERE vid = 0 AND NOT latest;

-- The pieces of a version that was uploaded in parts.
CREATE TABLE s3_pieces (
    write_id TEXT COLLATE "C" NOT NULL,
    n BIGINT NOT NULL,
    part_number BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    blob_id TEXT COLLATE "C" NOT NULL,
    checksums TEXT COLLATE "C" NOT NULL,
    CONSTRAINT s3_pieces_write_id_n PRIMARY KEY (write_id, n)
);

INSERT INTO s3_versions (bucket_id, key, rank, vid, latest, marker, write_id, size_bytes, etag, modified_ms, owner,
        checksums, content_type, headers, upload_id, blob_id, pieces, inline)
    SELECT b.id, o.key, 0, 0, TRUE, FALSE, o.version, o.size_bytes, o.etag, o.created_ms, b.account_id,
        o.checksums, o.content_type, o.metadata, o.metadata::json ->> 'upload', o.blob_id,
        (SELECT COUNT(*) FROM s3_object_parts p WHERE p.version = o.version), o.inline
    FROM s3_objects o JOIN s3_buckets b ON b.name = o.bucket;
INSERT INTO s3_pieces (write_id, n, part_number, size_bytes, blob_id, checksums)
    SELECT version, row_number() OVER (PARTITION BY version ORDER BY part_number), part_number, size_bytes, blob_id,
        checksums
    FROM s3_object_parts;
DROP TABLE s3_object_parts;
DROP TABLE s3_objects;

-- Uploads name their bucket by its number; their parts, and images, are not looked through when a blob goes.
ALTER TABLE s3_uploads ADD COLUMN bucket_id BIGINT REFERENCES s3_buckets (id);
UPDATE s3_uploads u SET bucket_id = b.id FROM s3_buckets b WHERE b.name = u.bucket;
ALTER TABLE s3_uploads ALTER COLUMN bucket_id SET NOT NULL;
DROP INDEX s3_uploads_by_key;
ALTER TABLE s3_uploads DROP COLUMN bucket;
CREATE INDEX s3_uploads_by_key ON s3_uploads (bucket_id, key, id);
ALTER TABLE s3_parts DROP CONSTRAINT s3_parts_blob_id_fkey;
CREATE INDEX image_blobs_by_blob ON image_blobs (blob_id);

-- Blobs that lost their last reference: made in the transaction that dropped it, gone when the bytes are.
CREATE TABLE s3_garbage (
    blob_id TEXT COLLATE "C" NOT NULL CONSTRAINT s3_garbage_blob_id PRIMARY KEY,
    size_bytes BIGINT NOT NULL,
    freed_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    tries BIGINT NOT NULL
);
CREATE INDEX s3_garbage_by_due ON s3_garbage (due_ms);

-- What a bucket holds, counted in the transactions that change it. `objects` and `bytes`: what a listing shows.
-- `versions` and `version_bytes`: all versions, with delete markers. `part_bytes`: of uploads that are not complete.
-- A bucket's slots are added up: writers on PostgreSQL take different ones, so as not to wait for each other.
CREATE TABLE s3_usage (
    bucket_id BIGINT NOT NULL REFERENCES s3_buckets (id) ON DELETE CASCADE,
    slot BIGINT NOT NULL,
    class TEXT COLLATE "C" NOT NULL,
    objects BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    versions BIGINT NOT NULL,
    version_bytes BIGINT NOT NULL,
    part_bytes BIGINT NOT NULL,
    CONSTRAINT s3_usage_bucket_id_slot_class PRIMARY KEY (bucket_id, slot, class)
);
INSERT INTO s3_usage (bucket_id, slot, class, objects, bytes, versions, version_bytes, part_bytes)
    SELECT b.id, 0, 'STANDARD', v.n, v.bytes, v.n, v.bytes,
        (SELECT CAST(COALESCE(SUM(p.size_bytes), 0) AS BIGINT) FROM s3_parts p JOIN s3_uploads u ON u.id = p.upload_id
            WHERE u.bucket_id = b.id)
    FROM s3_buckets b JOIN (SELECT b.id, COUNT(v.key) AS n, CAST(COALESCE(SUM(v.size_bytes), 0) AS BIGINT) AS bytes
        FROM s3_buckets b LEFT JOIN s3_versions v ON v.bucket_id = b.id GROUP BY b.id) v ON v.id = b.id;
