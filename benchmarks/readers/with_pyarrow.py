"""pyarrow: `python with_pyarrow.py FOLDER`, the folder of current.json."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

v1 = Path(sys.argv[1])
current = json.loads((v1 / "current.json").read_text("utf-8"))
tables = {feed: pq.read_table(v1 / path, partitioning=None) for feed, path in current["feeds"].items()}

builders, subnets = tables["image_builders"], tables["image_builder_subnets"]
joined = subnets.join(builders.select(["image_builder_key", "state"]), "image_builder_key", join_type="inner")
assert all(field.metadata[b"comment"] for table in tables.values() for field in table.schema)
assert builders.schema.field("as_of_utc").type == pa.timestamp("us")
print(json.dumps({"builders": builders.num_rows, "joined": joined.num_rows, "feeds": len(tables)}))
