"""pandas: `python with_pandas.py FOLDER`, the folder of current.json."""

import json
import sys
from pathlib import Path

import pandas as pd

v1 = Path(sys.argv[1])
current = json.loads((v1 / "current.json").read_text("utf-8"))
frames = {feed: pd.read_parquet(v1 / path) for feed, path in current["feeds"].items()}

builders, subnets = frames["image_builders"], frames["image_builder_subnets"]
joined = subnets.merge(builders[["image_builder_key", "state"]], on="image_builder_key", validate="many_to_one")
assert str(builders["as_of_utc"].dtype) == "datetime64[us]", builders["as_of_utc"].dtype
assert builders["is_stale"].dtype == bool
print(json.dumps({"builders": len(builders), "joined": len(joined), "feeds": len(frames)}))
