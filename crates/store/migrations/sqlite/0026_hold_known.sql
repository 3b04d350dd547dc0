-- Whether somebody has ever said if a version is on legal hold: of one of which nobody has, AWS tells that there is none.
ALTER TABLE s3_versions ADD COLUMN hold_known INTEGER NOT NULL DEFAULT 0 CHECK (hold_known IN (0, 1));
