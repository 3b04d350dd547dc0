-- The IPv6 blocks of VPCs (vpc_ipv6_cidr.rs).

CREATE TABLE vpc_ipv6_cidrs (
    id TEXT NOT NULL CONSTRAINT vpc_ipv6_cidrs_id PRIMARY KEY,
    vpc_id TEXT NOT NULL REFERENCES vpcs (id) ON DELETE CASCADE,
    cidr TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX vpc_ipv6_cidrs_cidr ON vpc_ipv6_cidrs (cidr);
CREATE INDEX vpc_ipv6_cidrs_by_vpc ON vpc_ipv6_cidrs (vpc_id, created_ms);
