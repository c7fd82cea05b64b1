"""Spark: `python with_spark.py FOLDER`, the folder of current.json. Needs Java 17."""

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession

v1 = Path(sys.argv[1]).resolve()
current = json.loads((v1 / "current.json").read_text("utf-8"))
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
frames = {feed: spark.read.parquet(f"file://{v1 / path}") for feed, path in current["feeds"].items()}

builders, subnets = frames["image_builders"], frames["image_builder_subnets"]
joined = subnets.join(builders.select("image_builder_key", "state"), "image_builder_key")
assert dict(builders.dtypes)["as_of_utc"] == "timestamp_ntz", dict(builders.dtypes)["as_of_utc"]
print(json.dumps({"builders": builders.count(), "joined": joined.count(), "feeds": len(frames)}))
spark.stop()
