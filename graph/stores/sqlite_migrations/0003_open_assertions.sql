DROP INDEX assertion_asset;
DROP INDEX assertion_flow;
CREATE UNIQUE INDEX assertion_asset ON assertion (asset, known_last, origin, valid_start) WHERE asset IS NOT NULL;
CREATE UNIQUE INDEX assertion_flow ON assertion (flow, known_last, origin, valid_start) WHERE flow IS NOT NULL;
