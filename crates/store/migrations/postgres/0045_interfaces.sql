-- Network interfaces as objects of their own (interface.rs, interface_address.rs, interface_attachment.rs).

-- Private addresses besides an interface's primary one, in the order in which they were assigned.
CREATE TABLE interface_addresses (
    interface_id TEXT COLLATE "C" NOT NULL REFERENCES interfaces (id) ON DELETE CASCADE,
    subnet_id TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    CONSTRAINT interface_addresses_subnet_id_address PRIMARY KEY (subnet_id, address)
);
CREATE UNIQUE INDEX interface_addresses_interface_id_position ON interface_addresses (interface_id, position);

-- Of an interface that was not made with its instance, or that leaves it: since when it is attached, the generation of the
-- instance with which its node hears of the change, and whether that is the end of it.
CREATE TABLE interface_attachments (
    interface_id TEXT COLLATE "C" NOT NULL CONSTRAINT interface_attachments_interface_id PRIMARY KEY
        REFERENCES interfaces (id) ON DELETE CASCADE,
    attached_ms BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    detaching BOOLEAN NOT NULL
);

CREATE INDEX interfaces_by_attachment ON interfaces (attachment_id);
-- One interface of an instance has one place.
CREATE UNIQUE INDEX interfaces_instance_id_device_index ON interfaces (instance_id, device_index);

-- A public address leads to the interface's primary private address, or to this one.
ALTER TABLE public_addresses ADD COLUMN private_ip TEXT COLLATE "C";
DROP INDEX public_addresses_interface_id;
CREATE UNIQUE INDEX public_addresses_interface_id ON public_addresses (interface_id, COALESCE(private_ip, ''));
ALTER TABLE elastic_ips ADD COLUMN private_ip TEXT COLLATE "C";
DROP INDEX elastic_ips_interface_id;
CREATE UNIQUE INDEX elastic_ips_interface_id ON elastic_ips (interface_id, COALESCE(private_ip, ''));

-- What descriptions of instances show (0007_instance_versions).
CREATE TRIGGER interface_addresses_version AFTER INSERT OR UPDATE OR DELETE ON interface_addresses
    FOR EACH ROW EXECUTE FUNCTION instance_versions_by_interface();
CREATE TRIGGER interface_attachments_version AFTER INSERT OR UPDATE OR DELETE ON interface_attachments
    FOR EACH ROW EXECUTE FUNCTION instance_versions_by_interface();

CREATE TRIGGER interfaces_creator AFTER DELETE ON interfaces FOR EACH ROW EXECUTE FUNCTION resource_creators_forget();
