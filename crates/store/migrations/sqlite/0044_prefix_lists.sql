-- Prefix lists (prefix_list.rs), and the rules and routes that name one.

CREATE TABLE prefix_lists (
    id TEXT NOT NULL CONSTRAINT prefix_lists_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    name TEXT NOT NULL,
    max_entries INTEGER NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX prefix_lists_by_account ON prefix_lists (account_id, id);

-- An entry is in the versions from since_version on; once it has been taken out, in those before until_version.
CREATE TABLE prefix_list_entries (
    list_id TEXT NOT NULL REFERENCES prefix_lists (id) ON DELETE CASCADE,
    cidr TEXT NOT NULL,
    since_version INTEGER NOT NULL,
    until_version INTEGER,
    description TEXT,
    CONSTRAINT prefix_list_entries_list_id_cidr_since_version PRIMARY KEY (list_id, cidr, since_version)
) STRICT;
CREATE UNIQUE INDEX prefix_list_entries_list_id_cidr ON prefix_list_entries (list_id, cidr)
    WHERE until_version IS NULL;

-- The peer of a rule as a list.
ALTER TABLE security_group_rules ADD COLUMN prefix_list TEXT REFERENCES prefix_lists (id);
DROP INDEX security_group_rules_tuple;
CREATE UNIQUE INDEX security_group_rules_tuple ON security_group_rules (group_id, egress, protocol,
    COALESCE(from_port, -1), COALESCE(to_port, -1), COALESCE(cidr, ''), COALESCE(peer_group, ''),
    COALESCE(prefix_list, ''));
CREATE INDEX security_group_rules_by_prefix_list ON security_group_rules (prefix_list);

-- A route's destination is a block or the id of a list; of a list, this says so too, and keeps it from being deleted.
ALTER TABLE routes ADD COLUMN prefix_list TEXT REFERENCES prefix_lists (id)
    CHECK (prefix_list IS NULL OR prefix_list = destination);
CREATE INDEX routes_by_prefix_list ON routes (prefix_list);

CREATE TRIGGER prefix_lists_creator AFTER DELETE ON prefix_lists BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
