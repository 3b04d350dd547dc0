-- What is due of a target is found without passing what is put off.
CREATE INDEX s3_outbox_by_due ON s3_outbox (target, due_ms, id);
