-- Prefix lists (prefix_list.rs) are of IPv4 or of IPv6; those of before are of IPv4.

ALTER TABLE prefix_lists ADD COLUMN family TEXT NOT NULL DEFAULT 'IPv4';
