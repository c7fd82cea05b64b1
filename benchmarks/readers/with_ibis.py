"""What the snippet for ibis found."""

import json

import duckdb
from snippet import builders, con, usd

try:
    con.raw_sql("from read_text('/etc/hostname')")
    raise SystemExit("it reads files of its server")
except duckdb.PermissionException:
    pass
paid = {team: round(value, 2) for team, value in usd.itertuples(index=False)}
print(json.dumps({"builders": int(builders.count().execute()), "usd": paid, "feeds": len(con.list_tables())}))
