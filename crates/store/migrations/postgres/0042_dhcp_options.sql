-- What guests of a VPC are told besides their address (dhcp_options.rs).

CREATE TABLE dhcp_options (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT dhcp_options_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    -- What the cloud says by itself.
    is_default BOOLEAN NOT NULL,
    doc TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX dhcp_options_by_account ON dhcp_options (account_id, id);
CREATE UNIQUE INDEX dhcp_options_account_id ON dhcp_options (account_id) WHERE is_default;

-- Without one guests are told of no domain.
ALTER TABLE vpcs ADD COLUMN dhcp_options_id TEXT COLLATE "C" REFERENCES dhcp_options (id);
CREATE INDEX vpcs_by_dhcp_options ON vpcs (dhcp_options_id);

-- Every account has its default set, and every VPC what its guests were told so far. An account's number is part of the
-- set's id: it may have no VPC whose id could be.
INSERT INTO dhcp_options (id, account_id, is_default, doc, created_ms)
    SELECT 'dopt-00000' || id, id, TRUE, '{}', created_ms FROM accounts;
UPDATE vpcs SET dhcp_options_id = (SELECT d.id FROM dhcp_options d WHERE d.account_id = vpcs.account_id);

CREATE TRIGGER dhcp_options_creator AFTER DELETE ON dhcp_options FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
