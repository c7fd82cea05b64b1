"""frictionless: `python with_frictionless.py FOLDER`. Checks datapackage.json and its CSV files.

Parquet files are left out: frictionless counts no bytes of theirs, and reads whole numbers with gaps as fractions.
"""

import json
import sys
from pathlib import Path

from frictionless import Package

file = Path(sys.argv[1]).resolve() / "latest" / "datapackage.json"
assert list(Package.metadata_validate(json.loads(file.read_text("utf-8")))) == []
package = Package(str(file))
feeds = [resource.name for resource in package.resources if resource.format == "parquet"]
for name in feeds:
    package.remove_resource(name)
report = package.validate()
assert report.valid, report.flatten(["type", "fieldName", "note"])[:5]
rows = {resource.name: len(resource.read_rows()) for resource in package.resources}
print(
    json.dumps(
        {"builders": rows["image_builders.csv"], "joined": rows["image_builder_subnets.csv"], "feeds": len(feeds)}
    )
)
