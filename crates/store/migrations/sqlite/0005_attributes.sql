-- What an image's owner says about it besides what it is, and instance types as the administrator has set them.
ALTER TABLE images ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN deprecation_ms INTEGER;
ALTER TABLE images ADD COLUMN protection TEXT NOT NULL DEFAULT 'off' CHECK (protection IN ('off', 'on', 'cooldown'));
ALTER TABLE images ADD COLUMN protected_until_ms INTEGER;

-- Accounts that may see and start an image which is neither theirs nor public.
CREATE TABLE image_launch_permissions (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL,
    CONSTRAINT image_launch_permissions_image_id_account_id PRIMARY KEY (image_id, account_id)
) STRICT;
CREATE INDEX image_launch_permissions_by_account ON image_launch_permissions (account_id, image_id);

CREATE TABLE instance_types (
    name TEXT NOT NULL CONSTRAINT instance_types_name PRIMARY KEY,
    vcpus INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    root_disk_gib INTEGER NOT NULL
) STRICT;
