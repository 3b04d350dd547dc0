-- Of a rule that names a group of another VPC: that VPC, and the peering connection it was allowed over. What is named so
-- may go: the rule stays, and is stale.
ALTER TABLE security_group_rules ADD COLUMN peer_vpc TEXT COLLATE "C";
ALTER TABLE security_group_rules ADD COLUMN peering TEXT COLLATE "C";
