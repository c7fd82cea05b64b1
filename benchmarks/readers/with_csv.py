"""csv, the standard library's: `python with_csv.py FOLDER`, the folder of current.json. Needs [feeds] csv = true."""

import csv
import json
import sys
from pathlib import Path

v1 = Path(sys.argv[1])
current = json.loads((v1 / "current.json").read_text("utf-8"))


def rows(feed: str) -> list[dict[str, str]]:
    """Return the rows of a feed, all values as text."""
    with (v1 / current["feeds"][feed]).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


builders, subnets = rows("image_builders"), rows("image_builder_subnets")
keys = {row["image_builder_key"] for row in builders}
joined = sum(row["image_builder_key"] in keys for row in subnets)
print(json.dumps({"builders": len(builders), "joined": joined, "feeds": len([rows(f) for f in current["feeds"]])}))
