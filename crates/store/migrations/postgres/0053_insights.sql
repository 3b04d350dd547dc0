-- Reachability analysis (insights.rs): paths between resources, and what was found of them.

CREATE TABLE insights_paths (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT insights_paths_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    -- Ids of resources that may be gone by now: a path outlives them.
    source TEXT COLLATE "C" NOT NULL,
    destination TEXT COLLATE "C",
    -- tcp or udp.
    protocol TEXT COLLATE "C" NOT NULL,
    -- The addresses and ports, as JSON (InsightsPathDoc).
    doc TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX insights_paths_by_account ON insights_paths (account_id, id);

CREATE TABLE insights_analyses (
    id TEXT COLLATE "C" NOT NULL CONSTRAINT insights_analyses_id PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    path_id TEXT COLLATE "C" NOT NULL REFERENCES insights_paths (id),
    -- JSON lists of ARNs.
    filter_in TEXT COLLATE "C" NOT NULL,
    filter_out TEXT COLLATE "C" NOT NULL,
    -- NULL: it could not be said.
    found BOOLEAN,
    -- Components and explanations, as JSON.
    answer TEXT COLLATE "C" NOT NULL,
    started_ms BIGINT NOT NULL
);
CREATE INDEX insights_analyses_by_account ON insights_analyses (account_id, id);
CREATE INDEX insights_analyses_by_path ON insights_analyses (path_id, id);

CREATE FUNCTION insights_tags_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tags WHERE resource_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER insights_paths_tags AFTER DELETE ON insights_paths FOR EACH ROW EXECUTE FUNCTION insights_tags_forget();
CREATE TRIGGER insights_paths_creator AFTER DELETE ON insights_paths FOR EACH ROW
    EXECUTE FUNCTION resource_creators_forget();
CREATE TRIGGER insights_analyses_tags AFTER DELETE ON insights_analyses FOR EACH ROW
    EXECUTE FUNCTION insights_tags_forget();
CREATE TRIGGER insights_analyses_creator AFTER DELETE ON insights_analyses FOR EACH ROW
    EXECUTE FUNCTION resource_creators_forget();
