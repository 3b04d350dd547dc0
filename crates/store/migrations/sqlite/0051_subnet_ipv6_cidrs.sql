-- The IPv6 blocks of subnets (subnet_ipv6_cidr.rs).

CREATE TABLE subnet_ipv6_cidrs (
    id TEXT NOT NULL CONSTRAINT subnet_ipv6_cidrs_id PRIMARY KEY,
    subnet_id TEXT NOT NULL REFERENCES subnets (id) ON DELETE CASCADE,
    -- The VPC's block that it is a part of, and that stays as long as it does.
    vpc_cidr_id TEXT NOT NULL REFERENCES vpc_ipv6_cidrs (id),
    cidr TEXT NOT NULL,
    assign_on_creation INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX subnet_ipv6_cidrs_subnet_id ON subnet_ipv6_cidrs (subnet_id);
CREATE UNIQUE INDEX subnet_ipv6_cidrs_cidr ON subnet_ipv6_cidrs (cidr);
CREATE INDEX subnet_ipv6_cidrs_by_vpc_cidr ON subnet_ipv6_cidrs (vpc_cidr_id);
