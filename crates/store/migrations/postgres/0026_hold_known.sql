-- Whether somebody has ever said if a version is on legal hold: of one of which nobody has, AWS tells that there is none.
ALTER TABLE s3_versions ADD COLUMN hold_known BOOLEAN NOT NULL DEFAULT FALSE;
