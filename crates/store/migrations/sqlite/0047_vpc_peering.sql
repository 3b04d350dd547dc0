-- VPC peering connections (vpc_peering.rs), from a request on until nobody is shown them any more.

CREATE TABLE vpc_peerings (
    id TEXT NOT NULL CONSTRAINT vpc_peerings_id PRIMARY KEY,
    requester_account TEXT NOT NULL,
    requester_vpc TEXT NOT NULL,
    -- As they were named: of a request that failed there may be none.
    accepter_account TEXT NOT NULL,
    accepter_vpc TEXT NOT NULL,
    state TEXT NOT NULL,
    -- Who accepted, rejected or deleted it.
    decided_by TEXT,
    -- Public names of the requester's VPC mean private addresses in the accepter's, and the other way round.
    requester_dns INTEGER NOT NULL,
    accepter_dns INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    -- Until when each side is shown what has ended.
    requester_until_ms INTEGER,
    accepter_until_ms INTEGER,
    -- While it is asked for, or active: between two VPCs there is one, whoever asked, and neither goes meanwhile.
    live_pair TEXT,
    live_requester TEXT REFERENCES vpcs (id),
    live_accepter TEXT REFERENCES vpcs (id)
) STRICT;
CREATE INDEX vpc_peerings_by_requester ON vpc_peerings (requester_account, id);
CREATE INDEX vpc_peerings_by_accepter ON vpc_peerings (accepter_account, id);
CREATE INDEX vpc_peerings_by_requester_vpc ON vpc_peerings (live_requester);
CREATE INDEX vpc_peerings_by_accepter_vpc ON vpc_peerings (live_accepter);
CREATE UNIQUE INDEX vpc_peerings_live_pair ON vpc_peerings (live_pair);

CREATE TRIGGER vpc_peerings_creator AFTER DELETE ON vpc_peerings BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;

-- Both sides of a peering connection have tags of their own on it.
CREATE TABLE tags_of_accounts (
    resource_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    account_id TEXT NOT NULL,
    CONSTRAINT tags_resource_id_key_account_id PRIMARY KEY (resource_id, key, account_id)
) STRICT;
INSERT INTO tags_of_accounts (resource_id, key, value, resource_type, account_id)
    SELECT resource_id, key, value, resource_type, account_id FROM tags;
DROP TABLE tags;
ALTER TABLE tags_of_accounts RENAME TO tags;
CREATE INDEX tags_by_account ON tags (account_id, resource_id, key);
CREATE INDEX tags_by_value ON tags (account_id, key, value, resource_id);

CREATE TRIGGER tags_version_insert AFTER INSERT ON tags BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id = NEW.resource_id;
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = NEW.resource_id);
END;
CREATE TRIGGER tags_version_update AFTER UPDATE ON tags BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id IN (OLD.resource_id, NEW.resource_id);
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id IN (SELECT instance_id FROM interfaces WHERE id IN (OLD.resource_id, NEW.resource_id));
END;
CREATE TRIGGER tags_version_delete AFTER DELETE ON tags BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id = OLD.resource_id;
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = OLD.resource_id);
END;
