-- Indexes that descriptions by a filter look instances up in (instance_search.rs), each in the order of ids, so that a
-- page of many is read no further than the page.
DROP INDEX instances_by_use;
CREATE INDEX instances_by_use ON instances (account_id, state, id, vcpus, memory_mib, root_disk_bytes);
DROP INDEX instances_by_subnet;
CREATE INDEX instances_by_subnet ON instances (subnet_id, account_id, id);
CREATE INDEX instances_by_type ON instances (account_id, instance_type, id);
CREATE INDEX instances_by_key ON instances (account_id, key_name, id) WHERE key_name IS NOT NULL;
-- Whether an image is used is asked without an account.
CREATE INDEX instances_by_image ON instances (image_id, account_id, id);
CREATE INDEX tags_by_value ON tags (account_id, key, value, resource_id);
CREATE INDEX profile_associations_by_profile ON profile_associations (profile_id);
CREATE INDEX profile_associations_by_arn ON profile_associations (profile_arn);
