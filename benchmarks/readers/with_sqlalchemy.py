"""SQLAlchemy through duckdb-engine: `python with_sqlalchemy.py FOLDER`. Superset goes the same way."""

import json
import sys
from pathlib import Path

from sqlalchemy import MetaData, create_engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

file = Path(sys.argv[1]).resolve() / "bi.duckdb"
# NullPool: a connection for each question, so that the next one sees what was published meanwhile.
# Its statements read this file and no other: no read_text, no COPY, and no SET that undoes it.
config = {"enable_external_access": False, "lock_configuration": True}
engine = create_engine(f"duckdb:///{file}", connect_args={"read_only": True, "config": config}, poolclass=NullPool)
reflected = MetaData()
reflected.reflect(engine)
inspector = inspect(engine)
for name, table in reflected.tables.items():
    assert inspector.get_table_comment(name)["text"], name
    assert all(column.comment for column in table.columns), name

builders, subnets = reflected.tables["image_builders"], reflected.tables["image_builder_subnets"]
on = builders.c.image_builder_key == subnets.c.image_builder_key
with engine.connect() as con:
    count = con.execute(select(func.count()).select_from(builders)).scalar_one()
    joined = con.execute(select(func.count()).select_from(subnets.join(builders, on))).scalar_one()
for statement in ("from read_text('/etc/hostname')", f"copy (select 1) to '{file}.csv'"):
    try:
        with engine.connect() as con:
            con.execute(text(statement))
        raise SystemExit(f"it is open to {statement}")
    except DBAPIError:
        pass
print(json.dumps({"builders": count, "joined": joined, "feeds": len(reflected.tables)}))
