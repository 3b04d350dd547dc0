-- Network ACLs (network_acl.rs): what may cross the boundary of a subnet, whatever the security groups say.

CREATE TABLE network_acls (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT network_acls_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    vpc_id TEXT COLLATE "C" NOT NULL REFERENCES vpcs (id),
    -- Of subnets that are made in the VPC.
    is_default BOOLEAN NOT NULL,
    generation BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX network_acls_by_account ON network_acls (account_id, id);
CREATE INDEX network_acls_by_vpc ON network_acls (vpc_id, id);
CREATE UNIQUE INDEX network_acls_vpc_id ON network_acls (vpc_id) WHERE is_default;

-- Besides the last one of each direction, which denies everything.
CREATE TABLE network_acl_entries (
    acl_id TEXT COLLATE "C" NOT NULL REFERENCES network_acls (id) ON DELETE CASCADE,
    egress BOOLEAN NOT NULL,
    number BIGINT NOT NULL,
    allow BOOLEAN NOT NULL,
    -- -1: all.
    protocol BIGINT NOT NULL,
    cidr TEXT COLLATE "C" NOT NULL,
    -- Ports, or ICMP type and code (-1: all); NULL where the protocol has none.
    from_port BIGINT,
    to_port BIGINT,
    CONSTRAINT network_acl_entries_acl_id_egress_number PRIMARY KEY (acl_id, egress, number)
);

-- Every subnet has one.
CREATE TABLE network_acl_associations (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT network_acl_associations_id PRIMARY KEY,
    acl_id TEXT COLLATE "C" NOT NULL REFERENCES network_acls (id),
    subnet_id TEXT COLLATE "C" NOT NULL REFERENCES subnets (id)
);
CREATE INDEX network_acl_associations_by_acl ON network_acl_associations (acl_id, id);
CREATE UNIQUE INDEX network_acl_associations_subnet_id ON network_acl_associations (subnet_id);

-- The VPCs that there are, and their subnets: everything passes, as before.
INSERT INTO network_acls (id, account_id, vpc_id, is_default, generation, created_ms)
    SELECT REPLACE(id, 'vpc-', 'acl-'), account_id, id, TRUE, 1, created_ms FROM vpcs;
INSERT INTO network_acl_entries (acl_id, egress, number, allow, protocol, cidr)
    SELECT id, FALSE, 100, TRUE, -1, '0.0.0.0/0' FROM network_acls;
INSERT INTO network_acl_entries (acl_id, egress, number, allow, protocol, cidr)
    SELECT id, TRUE, 100, TRUE, -1, '0.0.0.0/0' FROM network_acls;
INSERT INTO network_acl_associations (id, acl_id, subnet_id)
    SELECT REPLACE(id, 'subnet-', 'aclassoc-'), REPLACE(vpc_id, 'vpc-', 'acl-'), id FROM subnets;
-- Clusters that know a subnet learn which one it has.
UPDATE subnets SET generation = generation + 1;

CREATE TRIGGER network_acls_creator AFTER DELETE ON network_acls FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
