-- How often what is shown of an instance changed: its row, its interfaces, their groups and addresses, the tags of all
-- these. Whoever kept a description of an instance knows by this number whether it still holds (instance.rs).
-- Kept by triggers, so that no statement can forget it; a new table that descriptions show needs its own. A row is
-- locked from its change to the commit, so numbers grow in commit order.
CREATE TABLE instance_versions (
    instance_id TEXT COLLATE "C" NOT NULL CONSTRAINT instance_versions_instance_id PRIMARY KEY,
    version BIGINT NOT NULL
) WITH (fillfactor = 70);
INSERT INTO instance_versions (instance_id, version) SELECT id, 0 FROM instances;

CREATE FUNCTION instance_versions_of_instances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO instance_versions (instance_id, version) VALUES (NEW.id, 0);
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE instance_versions SET version = version + 1 WHERE instance_id = NEW.id;
    ELSE
        DELETE FROM instance_versions WHERE instance_id = OLD.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER instances_version AFTER INSERT OR UPDATE OR DELETE ON instances
    FOR EACH ROW EXECUTE FUNCTION instance_versions_of_instances();

CREATE FUNCTION instance_versions_of_interfaces() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.instance_id IS NOT NULL THEN
        UPDATE instance_versions SET version = version + 1 WHERE instance_id = OLD.instance_id;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.instance_id IS NOT NULL THEN
        UPDATE instance_versions SET version = version + 1 WHERE instance_id = NEW.instance_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER interfaces_version AFTER INSERT OR UPDATE OR DELETE ON interfaces
    FOR EACH ROW EXECUTE FUNCTION instance_versions_of_interfaces();

-- Of what hangs on an interface: groups, public addresses.
CREATE FUNCTION instance_versions_by_interface() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE instance_versions SET version = version + 1
        WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = OLD.interface_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE instance_versions SET version = version + 1
        WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = NEW.interface_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER interface_groups_version AFTER INSERT OR UPDATE OR DELETE ON interface_groups
    FOR EACH ROW EXECUTE FUNCTION instance_versions_by_interface();
CREATE TRIGGER public_addresses_version AFTER INSERT OR UPDATE OR DELETE ON public_addresses
    FOR EACH ROW EXECUTE FUNCTION instance_versions_by_interface();

CREATE FUNCTION instance_versions_of_security_groups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id IN (SELECT i.instance_id FROM interfaces i
        JOIN interface_groups m ON m.interface_id = i.id WHERE m.group_id = NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER security_groups_version AFTER UPDATE OF name ON security_groups
    FOR EACH ROW WHEN (OLD.name <> NEW.name) EXECUTE FUNCTION instance_versions_of_security_groups();

CREATE FUNCTION instance_versions_of_tags() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    resource TEXT;
BEGIN
    IF TG_OP = 'DELETE' THEN resource := OLD.resource_id; ELSE resource := NEW.resource_id; END IF;
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = resource OR instance_id = (SELECT instance_id FROM interfaces WHERE id = resource);
    RETURN NULL;
END $$;
CREATE TRIGGER tags_version AFTER INSERT OR UPDATE OR DELETE ON tags
    FOR EACH ROW EXECUTE FUNCTION instance_versions_of_tags();

-- The instance profile.
CREATE TRIGGER profile_associations_version AFTER INSERT OR UPDATE OR DELETE ON profile_associations
    FOR EACH ROW EXECUTE FUNCTION instance_versions_of_interfaces();
