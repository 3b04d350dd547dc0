-- The IPv6 addresses of interfaces (interface_ipv6.rs), in the order in which they were assigned. One is free again at once
-- when it is taken away or its interface goes: there are so many that it is not drawn again.
CREATE TABLE interface_ipv6_addresses (
    interface_id TEXT NOT NULL REFERENCES interfaces (id) ON DELETE CASCADE,
    -- The subnet's block that it is of, and that stays as long as it does.
    subnet_cidr_id TEXT NOT NULL REFERENCES subnet_ipv6_cidrs (id),
    address TEXT NOT NULL CONSTRAINT interface_ipv6_addresses_address PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX interface_ipv6_addresses_interface_id_position ON interface_ipv6_addresses (interface_id, position);
CREATE INDEX interface_ipv6_addresses_by_subnet_cidr ON interface_ipv6_addresses (subnet_cidr_id);

-- What descriptions of instances show (0007_instance_versions).
CREATE TRIGGER interface_ipv6_addresses_version_insert AFTER INSERT ON interface_ipv6_addresses BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = NEW.interface_id);
END;
CREATE TRIGGER interface_ipv6_addresses_version_update AFTER UPDATE ON interface_ipv6_addresses BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id IN (SELECT instance_id FROM interfaces WHERE id IN (OLD.interface_id, NEW.interface_id));
END;
CREATE TRIGGER interface_ipv6_addresses_version_delete AFTER DELETE ON interface_ipv6_addresses BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = OLD.interface_id);
END;
