"""duckdb: `python with_duckdb.py FOLDER`, the folder of bi.duckdb, which the oldest supported DuckDB opens too."""

import json
import sys
from pathlib import Path

import duckdb

config = {"enable_external_access": False, "lock_configuration": True}
with duckdb.connect(str(Path(sys.argv[1]) / "bi.duckdb"), read_only=True, config=config) as con:
    builders = con.execute("select count(*) from image_builders").fetchone()[0]
    joined = con.execute("select count(*) from image_builder_subnets join image_builders using (image_builder_key)")
    joined = joined.fetchone()[0]
    undescribed = "select count(*) from duckdb_columns() where not internal and comment is null"
    assert con.execute(undescribed).fetchone()[0] == 0
    feeds = con.execute("select count(*) from duckdb_tables()").fetchone()[0]
print(json.dumps({"builders": builders, "joined": joined, "feeds": feeds}))
