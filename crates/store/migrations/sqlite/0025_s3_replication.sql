-- Versions that are to be brought into other buckets: made in the transaction that writes or changes them, gone when they
-- are there. `target` is the ARN of the bucket; of one target, those of a key go in the order of their numbers. `turn` grows
-- when a version changes that waits already.
CREATE TABLE s3_replications (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    bucket_id INTEGER NOT NULL REFERENCES s3_buckets (id) ON DELETE CASCADE,
    key BLOB NOT NULL,
    rank INTEGER NOT NULL,
    vid INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    made_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    tries INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX s3_replications_bucket_id_key_rank_target ON s3_replications (bucket_id, key, rank, target);
CREATE INDEX s3_replications_by_target ON s3_replications (target, id);
CREATE INDEX s3_replications_by_key ON s3_replications (target, bucket_id, key, id);
