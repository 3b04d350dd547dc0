-- Network interfaces as objects of their own (interface.rs, interface_address.rs, interface_attachment.rs).

-- Private addresses besides an interface's primary one, in the order in which they were assigned.
CREATE TABLE interface_addresses (
    interface_id TEXT NOT NULL REFERENCES interfaces (id) ON DELETE CASCADE,
    subnet_id TEXT NOT NULL,
    address TEXT NOT NULL,
    position INTEGER NOT NULL,
    CONSTRAINT interface_addresses_subnet_id_address PRIMARY KEY (subnet_id, address)
) STRICT;
CREATE UNIQUE INDEX interface_addresses_interface_id_position ON interface_addresses (interface_id, position);

-- Of an interface that was not made with its instance, or that leaves it: since when it is attached, the generation of the
-- instance with which its node hears of the change, and whether that is the end of it.
CREATE TABLE interface_attachments (
    interface_id TEXT NOT NULL CONSTRAINT interface_attachments_interface_id PRIMARY KEY
        REFERENCES interfaces (id) ON DELETE CASCADE,
    attached_ms INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    detaching INTEGER NOT NULL
) STRICT;

CREATE INDEX interfaces_by_attachment ON interfaces (attachment_id);
-- One interface of an instance has one place.
CREATE UNIQUE INDEX interfaces_instance_id_device_index ON interfaces (instance_id, device_index);

-- A public address leads to the interface's primary private address, or to this one.
ALTER TABLE public_addresses ADD COLUMN private_ip TEXT;
DROP INDEX public_addresses_interface_id;
CREATE UNIQUE INDEX public_addresses_interface_id ON public_addresses (interface_id, COALESCE(private_ip, ''));
ALTER TABLE elastic_ips ADD COLUMN private_ip TEXT;
DROP INDEX elastic_ips_interface_id;
CREATE UNIQUE INDEX elastic_ips_interface_id ON elastic_ips (interface_id, COALESCE(private_ip, ''));

-- What descriptions of instances show (0007_instance_versions).
CREATE TRIGGER interface_addresses_version_insert AFTER INSERT ON interface_addresses BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = NEW.interface_id);
END;
CREATE TRIGGER interface_addresses_version_update AFTER UPDATE ON interface_addresses BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id IN (SELECT instance_id FROM interfaces WHERE id IN (OLD.interface_id, NEW.interface_id));
END;
CREATE TRIGGER interface_addresses_version_delete AFTER DELETE ON interface_addresses BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = OLD.interface_id);
END;
CREATE TRIGGER interface_attachments_version_insert AFTER INSERT ON interface_attachments BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = NEW.interface_id);
END;
CREATE TRIGGER interface_attachments_version_update AFTER UPDATE ON interface_attachments BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = NEW.interface_id);
END;
CREATE TRIGGER interface_attachments_version_delete AFTER DELETE ON interface_attachments BEGIN
    UPDATE instance_versions SET version = version + 1
    WHERE instance_id = (SELECT instance_id FROM interfaces WHERE id = OLD.interface_id);
END;

CREATE TRIGGER interfaces_creator AFTER DELETE ON interfaces BEGIN
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
