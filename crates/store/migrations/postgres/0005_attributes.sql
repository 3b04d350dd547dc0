-- What an image's owner says about it besides what it is, and instance types as the administrator has set them.
ALTER TABLE images ADD COLUMN disabled BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE images ADD COLUMN deprecation_ms BIGINT;
ALTER TABLE images ADD COLUMN protection TEXT COLLATE "C" NOT NULL DEFAULT 'off' CHECK (protection IN ('off', 'on', 'cooldown'));
ALTER TABLE images ADD COLUMN protected_until_ms BIGINT;

-- Accounts that may see and start an image which is neither theirs nor public.
CREATE TABLE image_launch_permissions (
    image_id TEXT COLLATE "C" NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    account_id TEXT COLLATE "C" NOT NULL,
    CONSTRAINT image_launch_permissions_image_id_account_id PRIMARY KEY (image_id, account_id)
);
CREATE INDEX image_launch_permissions_by_account ON image_launch_permissions (account_id, image_id);

CREATE TABLE instance_types (
    name TEXT COLLATE "C" NOT NULL CONSTRAINT instance_types_name PRIMARY KEY,
    vcpus BIGINT NOT NULL,
    memory_mib BIGINT NOT NULL,
    root_disk_gib BIGINT NOT NULL
);
