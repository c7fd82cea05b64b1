"""What the snippet for Spark found. Needs Java 17."""

import json

from snippet import builders, frames, spark, usd

assert dict(builders.dtypes)["as_of_utc"] == "timestamp", dict(builders.dtypes)["as_of_utc"]
paid = {team: round(value, 2) for team, value in usd.collect()}
print(json.dumps({"builders": builders.count(), "usd": paid, "feeds": len(frames)}))
spark.stop()
