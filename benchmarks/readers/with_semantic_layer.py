"""A semantic layer over the star: `python with_semantic_layer.py FOLDER` prints cost and hours by label, region, month.

FOLDER is `feeds/v2` of a warehouse with `[feeds] account_labels = ["team"]`. Measures and dimensions are
defined once, here; each query names them.
"""

import json
import sys
from pathlib import Path

import ibis
from boring_semantic_layer import to_semantic_table

con = ibis.duckdb.connect(Path(sys.argv[1]) / "bi.duckdb", read_only=True)

accounts = to_semantic_table(con.table("dim_account"), name="account").with_dimensions(
    account_id=lambda t: t.account_id, team=lambda t: t.label_team
)
builders = to_semantic_table(con.table("dim_image_builder"), name="builder").with_dimensions(
    life=lambda t: t.image_builder_life_key, name=lambda t: t.name, is_current=lambda t: t.is_current
)
dates = to_semantic_table(con.table("dim_date"), name="date").with_dimensions(
    day=lambda t: t.day, month=lambda t: t.year_month
)
days = (
    to_semantic_table(con.table("fact_image_builder_day"), name="builder_day")
    .with_dimensions(region=lambda t: t.region)
    .with_measures(usd=lambda t: t.cost_usd_at_least.sum(), hours=lambda t: t.running_hours_at_least.sum())
    .join_one(accounts, on="account_id")
    .join_one(builders, on=lambda day, builder: day.image_builder_life_key == builder.image_builder_life_key)
    .join_one(dates, on="day")
)

for dimension in ("account.team", "builder_day.region", "builder.is_current", "date.month"):
    rows = days.query(dimensions=[dimension], measures=["builder_day.usd", "builder_day.hours"]).execute()
    found = json.loads(rows.to_json(orient="values"))
    print(json.dumps({"by": dimension, "rows": found}))
