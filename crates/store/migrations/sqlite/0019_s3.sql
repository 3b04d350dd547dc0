-- Walrus's tables anew: versions of objects, documents of buckets, garbage that survives a crash, and counters in place
-- of sums.
ALTER TABLE s3_buckets ADD COLUMN id INTEGER NOT NULL DEFAULT 0;
-- '' (never enabled), 'Enabled' or 'Suspended'.
ALTER TABLE s3_buckets ADD COLUMN versioning TEXT NOT NULL DEFAULT '';
-- One more with every change of the row or of its documents: what is kept of them elsewhere is compared with it.
ALTER TABLE s3_buckets ADD COLUMN rev INTEGER NOT NULL DEFAULT 1;
UPDATE s3_buckets SET id = rowid;
CREATE UNIQUE INDEX s3_buckets_id ON s3_buckets (id);

CREATE TABLE s3_counters (
    name TEXT NOT NULL CONSTRAINT s3_counters_name PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO s3_counters (name, value) SELECT 'bucket', COALESCE(MAX(id), 0) FROM s3_buckets;

-- What is configured of a bucket: one document per kind, or per kind and id where there can be many.
CREATE TABLE s3_bucket_docs (
    bucket_id INTEGER NOT NULL REFERENCES s3_buckets (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    doc TEXT NOT NULL,
    updated_ms INTEGER NOT NULL,
    CONSTRAINT s3_bucket_docs_bucket_id_kind_id PRIMARY KEY (bucket_id, kind, id)
) STRICT, WITHOUT ROWID;

-- One row for each version of each object, the newest first: `rank` is 0 in a bucket that was never versioned, else
-- minus the microseconds of its writing (falling within a key). `vid` is 0 for the version called null, else random.
-- The bytes are in `blob_id`, in s3_pieces or in `inline`; a delete marker has none. `inline` comes last, so that
-- nobody who does not want it reads over it. Blobs are no foreign keys: they would be looked for here at each deletion.
CREATE TABLE s3_versions (
    bucket_id INTEGER NOT NULL REFERENCES s3_buckets (id),
    key BLOB NOT NULL,
    rank INTEGER NOT NULL,
    vid INTEGER NOT NULL,
    latest INTEGER NOT NULL CHECK (latest IN (0, 1)),
    marker INTEGER NOT NULL CHECK (marker IN (0, 1)),
    write_id TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    class TEXT NOT NULL DEFAULT 'STANDARD',
    owner TEXT NOT NULL,
    checksums TEXT NOT NULL DEFAULT '',
    content_type TEXT NOT NULL DEFAULT '',
    headers TEXT NOT NULL DEFAULT '{}',
    tags TEXT NOT NULL DEFAULT '',
    acl TEXT,
    lock_mode TEXT,
    lock_until_ms INTEGER,
    legal_hold INTEGER NOT NULL DEFAULT 0 CHECK (legal_hold IN (0, 1)),
    enc TEXT,
    repl TEXT,
    upload_id TEXT,
    blob_id TEXT,
    pieces INTEGER NOT NULL DEFAULT 0,
    inline BLOB,
    CONSTRAINT s3_versions_bucket_id_key_rank PRIMARY KEY (bucket_id, key, rank)
) STRICT, WITHOUT ROWID;
-- All that a listing of objects reads. (With `latest` and `marker`, or SQLite would look into the row for them.)
CREATE INDEX s3_versions_listed ON s3_versions
    (bucket_id, key, size_bytes, etag, modified_ms, class, owner, checksums, latest, marker) WHERE latest AND NOT marker;
-- Finds the null version below newer ones.
CREATE UNIQUE INDEX s3_versions_bucket_id_key ON s3_versions (bucket_id, key) WHERE vid = 0 AND NOT latest;

-- The pieces of a version that was uploaded in parts.
CREATE TABLE s3_pieces (
    write_id TEXT NOT NULL,
    n INTEGER NOT NULL,
    part_number INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    blob_id TEXT NOT NULL,
    checksums TEXT NOT NULL,
    CONSTRAINT s3_pieces_write_id_n PRIMARY KEY (write_id, n)
) STRICT, WITHOUT ROWID;

INSERT INTO s3_versions (bucket_id, key, rank, vid, latest, marker, write_id, size_bytes, etag, modified_ms, owner,
        checksums, content_type, headers, upload_id, blob_id, pieces, inline)
    SELECT b.id, o.key, 0, 0, 1, 0, o.version, o.size_bytes, o.etag, o.created_ms, b.account_id,
        o.checksums, o.content_type, o.metadata, json_extract(o.metadata, '$.upload'), o.blob_id,
        (SELECT COUNT(*) FROM s3_object_parts p WHERE p.version = o.version), o.inline
    FROM s3_objects o JOIN s3_buckets b ON b.name = o.bucket;
INSERT INTO s3_pieces (write_id, n, part_number, size_bytes, blob_id, checksums)
    SELECT version, row_number() OVER (PARTITION BY version ORDER BY part_number), part_number, size_bytes, blob_id,
        checksums
    FROM s3_object_parts;
DROP TABLE s3_object_parts;
DROP TABLE s3_objects;

-- Uploads name their bucket by its number; their parts, and images, are not looked through when a blob goes.
CREATE TABLE s3_uploads_next (
    id TEXT NOT NULL CONSTRAINT s3_uploads_id PRIMARY KEY,
    bucket_id INTEGER NOT NULL REFERENCES s3_buckets (id),
    key BLOB NOT NULL,
    account_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE s3_parts_next (
    upload_id TEXT NOT NULL REFERENCES s3_uploads_next (id) ON DELETE CASCADE,
    part_number INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    blob_id TEXT NOT NULL,
    checksums TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    CONSTRAINT s3_parts_upload_id_part_number PRIMARY KEY (upload_id, part_number)
) STRICT, WITHOUT ROWID;
INSERT INTO s3_uploads_next (id, bucket_id, key, account_id, created_ms, doc)
    SELECT u.id, b.id, u.key, u.account_id, u.created_ms, u.doc FROM s3_uploads u JOIN s3_buckets b ON b.name = u.bucket;
INSERT INTO s3_parts_next (upload_id, part_number, size_bytes, etag, blob_id, checksums, created_ms)
    SELECT upload_id, part_number, size_bytes, etag, blob_id, checksums, created_ms FROM s3_parts;
DROP TABLE s3_parts;
DROP TABLE s3_uploads;
ALTER TABLE s3_uploads_next RENAME TO s3_uploads;
ALTER TABLE s3_parts_next RENAME TO s3_parts;
CREATE INDEX s3_uploads_by_key ON s3_uploads (bucket_id, key, id);
CREATE INDEX image_blobs_by_blob ON image_blobs (blob_id);

-- Blobs that lost their last reference: made in the transaction that dropped it, gone when the bytes are.
CREATE TABLE s3_garbage (
    blob_id TEXT NOT NULL CONSTRAINT s3_garbage_blob_id PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    freed_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    tries INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX s3_garbage_by_due ON s3_garbage (due_ms);

-- What a bucket holds, counted in the transactions that change it. `objects` and `bytes`: what a listing shows.
-- `versions` and `version_bytes`: all versions, with delete markers. `part_bytes`: of uploads that are not complete.
-- A bucket's slots are added up: writers on PostgreSQL take different ones, so as not to wait for each other.
CREATE TABLE s3_usage (
    bucket_id INTEGER NOT NULL REFERENCES s3_buckets (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL,
    class TEXT NOT NULL,
    objects INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    versions INTEGER NOT NULL,
    version_bytes INTEGER NOT NULL,
    part_bytes INTEGER NOT NULL,
    CONSTRAINT s3_usage_bucket_id_slot_class PRIMARY KEY (bucket_id, slot, class)
) STRICT, WITHOUT ROWID;
INSERT INTO s3_usage (bucket_id, slot, class, objects, bytes, versions, version_bytes, part_bytes)
    SELECT b.id, 0, 'STANDARD', v.n, v.bytes, v.n, v.bytes,
        (SELECT COALESCE(SUM(p.size_bytes), 0) FROM s3_parts p JOIN s3_uploads u ON u.id = p.upload_id
            WHERE u.bucket_id = b.id)
    FROM s3_buckets b JOIN (SELECT b.id, COUNT(v.key) AS n, COALESCE(SUM(v.size_bytes), 0) AS bytes
        FROM s3_buckets b LEFT JOIN s3_versions v ON v.bucket_id = b.id GROUP BY b.id) v ON v.id = b.id;
