"""What the snippet for polars found."""

import json

import polars as pl
from snippet import builders, frames, usd

assert builders.schema["as_of_utc"] == pl.Datetime("us", "UTC")
paid = {team: round(value, 2) for team, value in usd.rows()}
print(json.dumps({"builders": len(builders), "usd": paid, "feeds": len(frames)}))
