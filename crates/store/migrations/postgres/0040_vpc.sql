-- What a VPC is made of (vpc.rs, route_table.rs, internet_gateway.rs, elastic_ip.rs).

-- Instances that do not say otherwise are on hardware of their own account.
ALTER TABLE vpcs ADD COLUMN dedicated BOOLEAN NOT NULL DEFAULT FALSE;
-- Whether the resolver answers, and whether it has names for public addresses.
ALTER TABLE vpcs ADD COLUMN dns_support BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE vpcs ADD COLUMN dns_hostnames BOOLEAN NOT NULL DEFAULT TRUE;

CREATE TABLE internet_gateways (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT internet_gateways_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    -- While attached.
    vpc_id TEXT COLLATE "C" REFERENCES vpcs (id),
    created_ms BIGINT NOT NULL
);
CREATE INDEX internet_gateways_by_account ON internet_gateways (account_id, id);
CREATE UNIQUE INDEX internet_gateways_vpc_id ON internet_gateways (vpc_id);

CREATE TABLE route_tables (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT route_tables_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    vpc_id TEXT COLLATE "C" NOT NULL REFERENCES vpcs (id),
    -- Unique in the VPC, and small: packets are marked with it.
    number BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX route_tables_by_account ON route_tables (account_id, id);
CREATE UNIQUE INDEX route_tables_vpc_id_number ON route_tables (vpc_id, number);

-- Besides the VPC's own block, which every table leads to.
CREATE TABLE routes (
    table_id TEXT COLLATE "C" NOT NULL REFERENCES route_tables (id) ON DELETE CASCADE,
    destination TEXT COLLATE "C" NOT NULL,
    target_kind TEXT COLLATE "C" NOT NULL,
    target_id TEXT COLLATE "C" NOT NULL,
    CONSTRAINT routes_table_id_destination PRIMARY KEY (table_id, destination)
);
CREATE INDEX routes_by_target ON routes (target_id);

-- Which table a subnet has; without a subnet: the VPC's main table, which all others have.
CREATE TABLE route_associations (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT route_associations_id PRIMARY KEY,
    table_id TEXT COLLATE "C" NOT NULL REFERENCES route_tables (id),
    vpc_id TEXT COLLATE "C" NOT NULL REFERENCES vpcs (id),
    subnet_id TEXT COLLATE "C" REFERENCES subnets (id)
);
CREATE INDEX route_associations_by_table ON route_associations (table_id, id);
CREATE UNIQUE INDEX route_associations_subnet_id ON route_associations (subnet_id);
CREATE UNIQUE INDEX route_associations_vpc_id ON route_associations (vpc_id) WHERE subnet_id IS NULL;

-- Public addresses that belong to an account until it releases them. While one is associated, public_addresses holds it
-- with its interface, as it holds those that come and go with an instance.
CREATE TABLE elastic_ips (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT elastic_ips_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    association_id TEXT COLLATE "C",
    interface_id TEXT COLLATE "C" REFERENCES interfaces (id),
    allocated_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX elastic_ips_address ON elastic_ips (address);
CREATE UNIQUE INDEX elastic_ips_association_id ON elastic_ips (association_id);
CREATE UNIQUE INDEX elastic_ips_interface_id ON elastic_ips (interface_id);
CREATE INDEX elastic_ips_by_account ON elastic_ips (account_id, id);

-- The VPCs that there are: each the default one of its account, with the way out that it had.
INSERT INTO internet_gateways (id, account_id, vpc_id, created_ms)
    SELECT REPLACE(id, 'vpc-', 'igw-'), account_id, id, created_ms FROM vpcs;
INSERT INTO route_tables (id, account_id, vpc_id, number, generation, created_ms)
    SELECT REPLACE(id, 'vpc-', 'rtb-'), account_id, id, 1, 1, created_ms FROM vpcs;
INSERT INTO route_associations (id, table_id, vpc_id, subnet_id)
    SELECT REPLACE(id, 'vpc-', 'rtbassoc-'), REPLACE(id, 'vpc-', 'rtb-'), id, NULL FROM vpcs;
INSERT INTO routes (table_id, destination, target_kind, target_id)
    SELECT REPLACE(id, 'vpc-', 'rtb-'), '0.0.0.0/0', 'internet-gateway', REPLACE(id, 'vpc-', 'igw-') FROM vpcs;

CREATE TRIGGER vpcs_creator AFTER DELETE ON vpcs FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER subnets_creator AFTER DELETE ON subnets FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER internet_gateways_creator AFTER DELETE ON internet_gateways FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER route_tables_creator AFTER DELETE ON route_tables FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER elastic_ips_creator AFTER DELETE ON elastic_ips FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
