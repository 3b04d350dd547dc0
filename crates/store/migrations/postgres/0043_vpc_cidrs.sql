-- The blocks of a VPC besides its first one, which is in its row (vpc_cidr.rs).

CREATE TABLE vpc_cidrs (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT vpc_cidrs_id PRIMARY KEY,
    vpc_id TEXT COLLATE "C" NOT NULL REFERENCES vpcs (id) ON DELETE CASCADE,
    cidr TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX vpc_cidrs_vpc_id_cidr ON vpc_cidrs (vpc_id, cidr);
