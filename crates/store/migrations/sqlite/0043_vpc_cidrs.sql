-- The blocks of a VPC besides its first one, which is in its row (vpc_cidr.rs).

CREATE TABLE vpc_cidrs (
    id TEXT NOT NULL CONSTRAINT vpc_cidrs_id PRIMARY KEY,
    vpc_id TEXT NOT NULL REFERENCES vpcs (id) ON DELETE CASCADE,
    cidr TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX vpc_cidrs_vpc_id_cidr ON vpc_cidrs (vpc_id, cidr);
