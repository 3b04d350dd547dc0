-- How often what is shown of an instance changed: its row, its interfaces, their groups and addresses, the tags of all
-- these. Whoever kept a description of an instance knows by this number whether it still holds (instance.rs).
-- Kept by triggers, so that no statement can forget it; a new table that descriptions show needs its own.
CREATE TABLE instance_versions (
    instance_id TEXT NOT NULL CONSTRAINT instance_versions_instance_id PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO instance_versions (instance_id, version) SELECT id, 0 FROM instances;

CREATE TRIGGER instances_version_insert AFTER INSERT ON instances BEGIN
    INSERT INTO instance_versions (instance_id, version) VALUES (NEW.id, 0);
END;
CREATE TRIGGER instances_version_update AFTER UPDATE ON instances BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id = NEW.id;
END;
CREATE TRIGGER instances_version_delete AFTER DELETE ON instances BEGIN
    DELETE FROM instance_versions WHERE instance_id = OLD.id;
END;

CREATE TRIGGER interfaces_version_insert AFTER INSERT ON interfaces WHEN NEW.instance_id IS NOT NULL BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id = NEW.instance_id;
END;
CREATE TRIGGER interfaces_version_update AFTER UPDATE ON interfaces BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id IN (OLD.instance_id, NEW.instance_id);
END;
CREATE TRIGGER interfaces_version_delete AFTER DELETE ON interfaces WHEN OLD.instance_id IS NOT NULL BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id = OLD.instance_id;
END;

CREATE TRIGGER interface_groups_version_insert AFTER INSERT ON interface_groups BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = NEW.interface_id);
END;
CREATE TRIGGER interface_groups_version_delete AFTER DELETE ON interface_groups BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = OLD.interface_id);
END;
CREATE TRIGGER security_groups_version_update AFTER UPDATE OF name ON security_groups WHEN OLD.name <> NEW.name BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id IN (SELECT i.instance_id FROM interfaces i
        JOIN interface_groups m ON m.interface_id = i.id WHERE m.group_id = NEW.id);
END;

CREATE TRIGGER public_addresses_version_insert AFTER INSERT ON public_addresses BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = NEW.interface_id);
END;
CREATE TRIGGER public_addresses_version_update AFTER UPDATE ON public_addresses BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id IN (SELECT instance_id FROM interfaces WHERE id IN (OLD.interface_id, NEW.interface_id));
END;
CREATE TRIGGER public_addresses_version_delete AFTER DELETE ON public_addresses BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = OLD.interface_id);
END;

CREATE TRIGGER tags_version_insert AFTER INSERT ON tags BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id = NEW.resource_id;
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = NEW.resource_id);
END;
CREATE TRIGGER tags_version_update AFTER UPDATE ON tags BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id IN (OLD.resource_id, NEW.resource_id);
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id IN (SELECT instance_id FROM interfaces WHERE id IN (OLD.resource_id, NEW.resource_id));
END;
CREATE TRIGGER tags_version_delete AFTER DELETE ON tags BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id = OLD.resource_id;
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = OLD.resource_id);
END;

CREATE TRIGGER profile_associations_version_insert AFTER INSERT ON profile_associations BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id = NEW.instance_id;
END;
CREATE TRIGGER profile_associations_version_update AFTER UPDATE ON profile_associations BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id IN (OLD.instance_id, NEW.instance_id);
END;
CREATE TRIGGER profile_associations_version_delete AFTER DELETE ON profile_associations BEGIN
    UPDATE instance_versions SET version = version + 1 WHERE instance_id = OLD.instance_id;
END;
