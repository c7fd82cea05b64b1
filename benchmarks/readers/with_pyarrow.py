"""What the snippet for pyarrow found."""

import json

import pyarrow as pa
from snippet import builders, tables, usd

assert all(field.metadata[b"comment"] for table in tables.values() for field in table.schema)
assert builders.schema.field("as_of_utc").type == pa.timestamp("us", "UTC")
paid = {row["label_team"]: round(row["cost_usd_at_least_sum"], 2) for row in usd.to_pylist()}
print(json.dumps({"builders": builders.num_rows, "usd": paid, "feeds": len(tables)}))
