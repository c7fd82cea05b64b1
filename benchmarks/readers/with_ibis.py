"""ibis: `python with_ibis.py FOLDER`. It sets options while it connects, so that the locks come after that."""

import json
import sys
from pathlib import Path

import duckdb
import ibis

con = ibis.duckdb.connect(str(Path(sys.argv[1]) / "bi.duckdb"), read_only=True)
con.raw_sql("set enable_external_access = false")
con.raw_sql("set lock_configuration = true")
builders, subnets = con.table("image_builders"), con.table("image_builder_subnets")
joined = subnets.semi_join(builders, "image_builder_key")
try:
    con.raw_sql("from read_text('/etc/hostname')")
    raise SystemExit("it reads files of its server")
except duckdb.PermissionException:
    pass
counts = {"builders": builders.count().execute(), "joined": joined.count().execute(), "feeds": len(con.list_tables())}
print(json.dumps({name: int(count) for name, count in counts.items()}))
