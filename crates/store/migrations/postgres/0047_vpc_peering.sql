-- VPC peering connections (vpc_peering.rs), from a request on until nobody is shown them any more.

CREATE TABLE vpc_peerings (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT vpc_peerings_id PRIMARY KEY,
    requester_account TEXT COLLATE "C" NOT NULL,
    requester_vpc TEXT COLLATE "C" NOT NULL,
    -- As they were named: of a request that failed there may be none.
    accepter_account TEXT COLLATE "C" NOT NULL,
    accepter_vpc TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    -- Who accepted, rejected or deleted it.
    decided_by TEXT COLLATE "C",
    -- Public names of the requester's VPC mean private addresses in the accepter's, and the other way round.
    requester_dns BOOLEAN NOT NULL,
    accepter_dns BOOLEAN NOT NULL,
    generation BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    -- Until when each side is shown what has ended.
    requester_until_ms BIGINT,
    accepter_until_ms BIGINT,
    -- While it is asked for, or active: between two VPCs there is one, whoever asked, and neither goes meanwhile.
    live_pair TEXT COLLATE "C",
    live_requester TEXT COLLATE "C" REFERENCES vpcs (id),
    live_accepter TEXT COLLATE "C" REFERENCES vpcs (id)
);
CREATE INDEX vpc_peerings_by_requester ON vpc_peerings (requester_account, id);
CREATE INDEX vpc_peerings_by_accepter ON vpc_peerings (accepter_account, id);
CREATE INDEX vpc_peerings_by_requester_vpc ON vpc_peerings (live_requester);
CREATE INDEX vpc_peerings_by_accepter_vpc ON vpc_peerings (live_accepter);
CREATE UNIQUE INDEX vpc_peerings_live_pair ON vpc_peerings (live_pair);

CREATE TRIGGER vpc_peerings_creator AFTER DELETE ON vpc_peerings FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();

-- Both sides of a peering connection have tags of their own on it.
ALTER TABLE tags DROP CONSTRAINT tags_resource_id_key;
ALTER TABLE tags ADD CONSTRAINT tags_resource_id_key_account_id PRIMARY KEY (resource_id, key, account_id);
