"""What the snippet for frictionless found: CSV and Parquet files are as datapackage.json describes them."""

import json

from snippet import current, package, report

assert report.valid, report.flatten(["type", "fieldName", "note"])[:5]
builders = package.get_resource("image_builder_latest.csv").read_rows()
print(json.dumps({"builders": len(builders), "feeds": len(current["feeds"])}))
