"""What the snippet for SQLAlchemy found. Superset goes the same way, through duckdb-engine."""

import json

from snippet import engine, feeds, usd
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

inspector = inspect(engine)
for name, table in feeds.tables.items():
    assert inspector.get_table_comment(name)["text"], name
    assert all(column.comment for column in table.columns), name
for statement in ("from read_text('/etc/hostname')", "copy (select 1) to '/tmp/never.csv'"):
    try:
        with engine.connect() as con:
            con.execute(text(statement))
        raise SystemExit(f"it is open to {statement}")
    except DBAPIError:
        pass
with engine.connect() as con:
    builders = con.execute(text("select count(*) from image_builder_latest")).scalar()
print(json.dumps({"builders": builders, "usd": {t: round(v, 2) for t, v in usd}, "feeds": len(feeds.tables)}))
