-- What is to be told of changes of objects: made in the transaction of the change, gone when it was told. `target` is the
-- ARN that the bucket's configuration names; of one target, those of a key go in the order of their numbers.
CREATE TABLE s3_outbox (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    bucket_id INTEGER NOT NULL,
    key BLOB NOT NULL,
    doc TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    tries INTEGER NOT NULL
) STRICT;
CREATE INDEX s3_outbox_by_target ON s3_outbox (target, id);
CREATE INDEX s3_outbox_by_key ON s3_outbox (target, bucket_id, key, id);
CREATE INDEX s3_outbox_by_age ON s3_outbox (made_ms);

-- Where the background work of the object store was when it was last heard of, JSON.
CREATE TABLE s3_jobs (
    name TEXT NOT NULL CONSTRAINT s3_jobs_name PRIMARY KEY,
    state TEXT NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX s3_bucket_docs_by_kind ON s3_bucket_docs (kind, bucket_id);
