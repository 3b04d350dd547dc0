-- The IPv6 addresses of interfaces (interface_ipv6.rs), in the order in which they were assigned. One is free again at once
-- when it is taken away or its interface goes: there are so many that it is not drawn again.
CREATE TABLE interface_ipv6_addresses (
    interface_id TEXT COLLATE "C" NOT NULL REFERENCES interfaces (id) ON DELETE CASCADE,
    -- The subnet's block that it is of, and that stays as long as it does.
    subnet_cidr_id TEXT COLLATE "C" NOT NULL REFERENCES subnet_ipv6_cidrs (id),
    address TEXT COLLATE "C" NOT NULL CONSTRAINT interface_ipv6_addresses_address PRIMARY KEY,
    position BIGINT NOT NULL
);
CREATE UNIQUE INDEX interface_ipv6_addresses_interface_id_position ON interface_ipv6_addresses (interface_id, position);
CREATE INDEX interface_ipv6_addresses_by_subnet_cidr ON interface_ipv6_addresses (subnet_cidr_id);

-- What descriptions of instances show (0007_instance_versions).
CREATE TRIGGER interface_ipv6_addresses_version AFTER INSERT OR UPDATE OR DELETE ON interface_ipv6_addresses
    FOR EACH ROW EXECUTE FUNCTION instance_versions_by_interface();
