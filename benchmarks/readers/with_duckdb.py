"""What the snippet for DuckDB found, in the oldest and in the newest version that can open the file."""

import json
import sys

import duckdb
from snippet import builders, feeds, locked, usd

with duckdb.connect(sys.argv[1], read_only=True, config=locked) as con:
    undescribed = "select count(*) from duckdb_columns() where not internal and comment is null"
    assert con.execute(undescribed).fetchone() == (0,)
    for statement in ("from read_text('/etc/hostname')", "set enable_external_access = true"):
        try:
            con.execute(statement)
            raise SystemExit(f"it is open to {statement}")
        except duckdb.Error:
            pass
print(json.dumps({"builders": len(builders), "usd": {t: round(v, 2) for t, v in usd}, "feeds": len(feeds)}))
