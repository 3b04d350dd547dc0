-- Egress-only internet gateways (egress_only_gateway.rs): each is of one VPC, which has one at most.

CREATE TABLE egress_only_gateways (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT egress_only_gateways_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    vpc_id TEXT COLLATE "C" NOT NULL REFERENCES vpcs (id),
    created_ms BIGINT NOT NULL
);
CREATE INDEX egress_only_gateways_by_account ON egress_only_gateways (account_id, id);
CREATE UNIQUE INDEX egress_only_gateways_vpc_id ON egress_only_gateways (vpc_id);
