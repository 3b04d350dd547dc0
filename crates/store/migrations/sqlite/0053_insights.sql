-- Reachability analysis (insights.rs): paths between resources, and what was found of them.

CREATE TABLE insights_paths (
    id TEXT NOT NULL CONSTRAINT insights_paths_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    -- Ids of resources that may be gone by now: a path outlives them.
    source TEXT NOT NULL,
    destination TEXT,
    -- tcp or udp.
    protocol TEXT NOT NULL,
    -- The addresses and ports, as JSON (InsightsPathDoc).
    doc TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX insights_paths_by_account ON insights_paths (account_id, id);

CREATE TABLE insights_analyses (
    id TEXT NOT NULL CONSTRAINT insights_analyses_id PRIMARY KEY,
    account_id TEXT NOT NULL,
    path_id TEXT NOT NULL REFERENCES insights_paths (id),
    -- JSON lists of ARNs.
    filter_in TEXT NOT NULL,
    filter_out TEXT NOT NULL,
    -- NULL: it could not be said.
    found INTEGER,
    -- Components and explanations, as JSON.
    answer TEXT NOT NULL,
    started_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX insights_analyses_by_account ON insights_analyses (account_id, id);
CREATE INDEX insights_analyses_by_path ON insights_analyses (path_id, id);

CREATE TRIGGER insights_paths_tags AFTER DELETE ON insights_paths BEGIN
    DELETE FROM tags WHERE resource_id = OLD.id;
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
CREATE TRIGGER insights_analyses_tags AFTER DELETE ON insights_analyses BEGIN
    DELETE FROM tags WHERE resource_id = OLD.id;
    DELETE FROM resource_creators WHERE resource_id = OLD.id;
END;
