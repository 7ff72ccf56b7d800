MERGE (h:Head {name: 'lineage'})
ON CREATE SET h.number = 0, h.at = 0, h.assets = 0, h.assertions = 0, h.shown_at = 0;
