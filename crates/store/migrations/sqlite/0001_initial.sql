-- Mallee's schema. Types: text, big integers, booleans, bytes. Times are milliseconds since 1970 (*_ms); JSON is text.
-- Unique indexes and primary keys are named <table>_<columns>: the error mapping counts on it (src/error.rs).
-- The two dialects of this file differ in type words only; tests/schema.rs compares the columns.

-- The ordered log of what changed, read by reconcilers. Pruned (change.rs).
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    zone TEXT
) STRICT;

CREATE TABLE leases (
    name TEXT NOT NULL CONSTRAINT leases_name PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    key TEXT NOT NULL CONSTRAINT settings_key PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE accounts (
    id TEXT NOT NULL CONSTRAINT accounts_id PRIMARY KEY,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX accounts_name ON accounts (name);

CREATE TABLE users (
    id TEXT NOT NULL CONSTRAINT users_id PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    is_admin INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX users_account_id_name ON users (account_id, name);

CREATE TABLE access_keys (
    id TEXT NOT NULL CONSTRAINT access_keys_id PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    account_id TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    active INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX access_keys_user_id ON access_keys (user_id);

CREATE TABLE key_pairs (
    id TEXT NOT NULL CONSTRAINT key_pairs_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('rsa', 'ed25519')),
    fingerprint TEXT NOT NULL,
    public_openssh TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX key_pairs_account_id_name ON key_pairs (account_id, name);

CREATE TABLE vpcs (
    id TEXT NOT NULL CONSTRAINT vpcs_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    cidr TEXT NOT NULL,
    vni INTEGER NOT NULL,
    is_default INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX vpcs_vni ON vpcs (vni);
CREATE INDEX vpcs_by_account ON vpcs (account_id, id);
-- One default VPC per account.
CREATE UNIQUE INDEX vpcs_account_id ON vpcs (account_id) WHERE is_default;

CREATE TABLE subnets (
    id TEXT NOT NULL CONSTRAINT subnets_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    vpc_id TEXT NOT NULL REFERENCES vpcs (id),
    zone TEXT NOT NULL,
    cidr TEXT NOT NULL,
    is_default INTEGER NOT NULL,
    map_public_ip INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX subnets_vpc_id_cidr ON subnets (vpc_id, cidr);
CREATE INDEX subnets_by_account ON subnets (account_id, id);
-- One default subnet per account and zone.
CREATE UNIQUE INDEX subnets_account_id_zone ON subnets (account_id, zone) WHERE is_default;

CREATE TABLE security_groups (
    id TEXT NOT NULL CONSTRAINT security_groups_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    vpc_id TEXT NOT NULL REFERENCES vpcs (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    generation INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX security_groups_vpc_id_name ON security_groups (vpc_id, name);
CREATE INDEX security_groups_by_account ON security_groups (account_id, id);

CREATE TABLE security_group_rules (
    id TEXT NOT NULL CONSTRAINT security_group_rules_id PRIMARY KEY,
    group_id TEXT NOT NULL REFERENCES security_groups (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL,
    egress INTEGER NOT NULL,
    protocol INTEGER NOT NULL,
    from_port INTEGER,
    to_port INTEGER,
    cidr TEXT,
    peer_group TEXT,
    peer_account TEXT,
    description TEXT
) STRICT;
CREATE UNIQUE INDEX security_group_rules_tuple ON security_group_rules (group_id, egress, protocol,
    COALESCE(from_port, -1), COALESCE(to_port, -1), COALESCE(cidr, ''), COALESCE(peer_group, ''));
CREATE INDEX security_group_rules_by_account ON security_group_rules (account_id, id);
CREATE INDEX security_group_rules_by_peer ON security_group_rules (peer_group);

CREATE TABLE images (
    id TEXT NOT NULL CONSTRAINT images_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    location TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'available', 'failed', 'deregistered')),
    state_reason TEXT,
    digest TEXT,
    format TEXT,
    size_bytes INTEGER,
    virtual_size_bytes INTEGER,
    architecture TEXT NOT NULL,
    root_device_name TEXT NOT NULL,
    is_public INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    deregistered_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX images_account_id_name ON images (account_id, name) WHERE state <> 'deregistered';
CREATE INDEX images_by_account ON images (account_id, id);
CREATE INDEX images_by_digest ON images (digest);

CREATE TABLE instances (
    id TEXT NOT NULL CONSTRAINT instances_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    reservation_id TEXT NOT NULL,
    launch_index INTEGER NOT NULL,
    zone TEXT NOT NULL,
    node_id TEXT,
    instance_type TEXT NOT NULL,
    image_id TEXT NOT NULL,
    vpc_id TEXT NOT NULL,
    subnet_id TEXT NOT NULL REFERENCES subnets (id),
    key_name TEXT,
    intent TEXT NOT NULL CHECK (intent IN ('run', 'stop', 'terminate')),
    generation INTEGER NOT NULL,
    incarnation INTEGER NOT NULL,
    reboot_seq INTEGER NOT NULL,
    observed_phase TEXT NOT NULL,
    observed_generation INTEGER NOT NULL,
    observed_incarnation INTEGER NOT NULL,
    observed_network INTEGER NOT NULL,
    observed_reboot_seq INTEGER NOT NULL,
    state TEXT NOT NULL,
    state_reason_code TEXT,
    state_reason_message TEXT,
    transition_reason TEXT NOT NULL,
    released INTEGER NOT NULL,
    launch_ms INTEGER NOT NULL,
    state_changed_ms INTEGER NOT NULL,
    terminated_ms INTEGER,
    client_token TEXT,
    doc TEXT NOT NULL,
    placement TEXT,
    user_data BLOB
) STRICT;
CREATE INDEX instances_by_account ON instances (account_id, id);
CREATE INDEX instances_by_zone ON instances (zone, id);
CREATE INDEX instances_by_node ON instances (node_id, id);
CREATE INDEX instances_by_reservation ON instances (reservation_id, launch_index);
CREATE INDEX instances_by_subnet ON instances (subnet_id);
CREATE INDEX instances_by_terminated ON instances (terminated_ms) WHERE terminated_ms IS NOT NULL;

CREATE TABLE interfaces (
    id TEXT NOT NULL CONSTRAINT interfaces_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    vpc_id TEXT NOT NULL,
    subnet_id TEXT NOT NULL REFERENCES subnets (id),
    zone TEXT NOT NULL,
    mac TEXT NOT NULL,
    private_ip TEXT NOT NULL,
    instance_id TEXT,
    attachment_id TEXT,
    device_index INTEGER,
    source_dest_check INTEGER NOT NULL,
    delete_on_termination INTEGER NOT NULL,
    description TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX interfaces_mac ON interfaces (mac);
CREATE UNIQUE INDEX interfaces_subnet_id_private_ip ON interfaces (subnet_id, private_ip);
CREATE INDEX interfaces_by_account ON interfaces (account_id, id);
CREATE INDEX interfaces_by_zone ON interfaces (zone, id);
CREATE INDEX interfaces_by_vpc ON interfaces (vpc_id, id);
CREATE INDEX interfaces_by_instance ON interfaces (instance_id);

CREATE TABLE interface_groups (
    interface_id TEXT NOT NULL REFERENCES interfaces (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES security_groups (id),
    CONSTRAINT interface_groups_interface_id_group_id PRIMARY KEY (interface_id, group_id)
) STRICT;
CREATE INDEX interface_groups_by_group ON interface_groups (group_id, interface_id);

-- IPv4 addresses in use or on hold, per pool (a subnet, or the public pool): address.rs.
CREATE TABLE addresses (
    pool TEXT NOT NULL,
    address INTEGER NOT NULL,
    released_ms INTEGER,
    CONSTRAINT addresses_pool_address PRIMARY KEY (pool, address)
) STRICT;
CREATE INDEX addresses_by_release ON addresses (pool, released_ms) WHERE released_ms IS NOT NULL;

CREATE TABLE public_addresses (
    address TEXT NOT NULL CONSTRAINT public_addresses_address PRIMARY KEY,
    interface_id TEXT NOT NULL REFERENCES interfaces (id),
    account_id TEXT NOT NULL,
    allocated_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX public_addresses_interface_id ON public_addresses (interface_id);
CREATE INDEX public_addresses_by_account ON public_addresses (account_id);

CREATE TABLE tags (
    resource_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    account_id TEXT NOT NULL,
    CONSTRAINT tags_resource_id_key PRIMARY KEY (resource_id, key)
) STRICT;
CREATE INDEX tags_by_account ON tags (account_id, resource_id, key);

CREATE TABLE client_tokens (
    account_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    token TEXT NOT NULL,
    params_hash TEXT NOT NULL,
    result TEXT,
    created_ms INTEGER NOT NULL,
    CONSTRAINT client_tokens_account_id_operation_token PRIMARY KEY (account_id, operation, token)
) STRICT;
CREATE INDEX client_tokens_by_age ON client_tokens (created_ms);

CREATE TABLE clusters (
    zone TEXT NOT NULL CONSTRAINT clusters_zone PRIMARY KEY,
    endpoint TEXT NOT NULL,
    registered_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE nodes (
    id TEXT NOT NULL CONSTRAINT nodes_id PRIMARY KEY,
    zone TEXT NOT NULL,
    registered_ms INTEGER NOT NULL,
    last_state TEXT NOT NULL,
    last_state_ms INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE INDEX nodes_by_zone ON nodes (zone, id);

CREATE TABLE join_tokens (
    id TEXT NOT NULL CONSTRAINT join_tokens_id PRIMARY KEY,
    secret_hash BLOB NOT NULL,
    role TEXT NOT NULL,
    zone TEXT,
    name TEXT,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    used_ms INTEGER
) STRICT;

CREATE TABLE sagas (
    id TEXT NOT NULL CONSTRAINT sagas_id PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'unwinding', 'done', 'failed', 'stuck')),
    params TEXT NOT NULL,
    owner TEXT NOT NULL,
    owner_epoch INTEGER NOT NULL,
    step INTEGER NOT NULL,
    error TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX sagas_by_state ON sagas (state, id);
CREATE INDEX sagas_by_age ON sagas (updated_ms);

CREATE TABLE saga_log (
    saga_id TEXT NOT NULL REFERENCES sagas (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    step INTEGER NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('do', 'undo')),
    event TEXT NOT NULL CHECK (event IN ('started', 'done', 'failed')),
    output TEXT,
    at_ms INTEGER NOT NULL,
    CONSTRAINT saga_log_saga_id_seq PRIMARY KEY (saga_id, seq)
) STRICT;

-- Walrus. Keys are bytes, so that both databases sort them as S3 does.
CREATE TABLE s3_buckets (
    name TEXT NOT NULL CONSTRAINT s3_buckets_name PRIMARY KEY,
    account_id TEXT NOT NULL,
    region TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX s3_buckets_by_account ON s3_buckets (account_id, name);

-- One stored file; gone when the last reference goes.
CREATE TABLE s3_blobs (
    id TEXT NOT NULL CONSTRAINT s3_blobs_id PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    refs INTEGER NOT NULL CHECK (refs >= 0)
) STRICT;

CREATE TABLE s3_objects (
    bucket TEXT NOT NULL REFERENCES s3_buckets (name),
    key BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    blob_id TEXT REFERENCES s3_blobs (id),
    inline BLOB,
    content_type TEXT NOT NULL,
    metadata TEXT NOT NULL,
    checksums TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    version TEXT NOT NULL,
    CONSTRAINT s3_objects_bucket_key PRIMARY KEY (bucket, key)
) STRICT;
CREATE UNIQUE INDEX s3_objects_version ON s3_objects (version);

-- The pieces of an object that was uploaded in parts.
CREATE TABLE s3_object_parts (
    version TEXT NOT NULL REFERENCES s3_objects (version) ON DELETE CASCADE,
    part_number INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    blob_id TEXT NOT NULL REFERENCES s3_blobs (id),
    checksums TEXT NOT NULL,
    CONSTRAINT s3_object_parts_version_part_number PRIMARY KEY (version, part_number)
) STRICT;

CREATE TABLE s3_uploads (
    id TEXT NOT NULL CONSTRAINT s3_uploads_id PRIMARY KEY,
    bucket TEXT NOT NULL REFERENCES s3_buckets (name),
    key BLOB NOT NULL,
    account_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE INDEX s3_uploads_by_key ON s3_uploads (bucket, key, id);

CREATE TABLE s3_parts (
    upload_id TEXT NOT NULL REFERENCES s3_uploads (id) ON DELETE CASCADE,
    part_number INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    blob_id TEXT NOT NULL REFERENCES s3_blobs (id),
    checksums TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    CONSTRAINT s3_parts_upload_id_part_number PRIMARY KEY (upload_id, part_number)
) STRICT;

-- Disk images by content, and who keeps them.
CREATE TABLE image_blobs (
    digest TEXT NOT NULL CONSTRAINT image_blobs_digest PRIMARY KEY,
    format TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    virtual_size_bytes INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    blob_id TEXT NOT NULL REFERENCES s3_blobs (id)
) STRICT;

CREATE TABLE image_claims (
    digest TEXT NOT NULL REFERENCES image_blobs (digest),
    holder TEXT NOT NULL,
    CONSTRAINT image_claims_digest_holder PRIMARY KEY (digest, holder)
) STRICT;
CREATE INDEX image_claims_by_holder ON image_claims (holder);
