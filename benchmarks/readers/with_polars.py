"""polars: `python with_polars.py FOLDER`, the folder of current.json."""

import json
import sys
from pathlib import Path

import polars as pl

v1 = Path(sys.argv[1])
current = json.loads((v1 / "current.json").read_text("utf-8"))
frames = {feed: pl.read_parquet(v1 / path, hive_partitioning=False) for feed, path in current["feeds"].items()}

builders, subnets = frames["image_builders"], frames["image_builder_subnets"]
joined = subnets.join(builders.select("image_builder_key", "state"), on="image_builder_key", validate="m:1")
assert builders.schema["as_of_utc"] == pl.Datetime("us")
print(json.dumps({"builders": len(builders), "joined": len(joined), "feeds": len(frames)}))
