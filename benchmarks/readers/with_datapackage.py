"""datapackage, an older library of the standard: `python with_datapackage.py FOLDER`. Checks that it is valid."""

import json
import sys
from pathlib import Path

from datapackage import Package

package = Package(str(Path(sys.argv[1]).resolve() / "latest" / "datapackage.json"))
assert package.valid, package.errors
found = {resource.name: resource.descriptor["rows"] for resource in package.resources}
feeds = sum(resource.descriptor["format"] == "parquet" for resource in package.resources)
print(json.dumps({"builders": found["image_builders"], "joined": found["image_builder_subnets"], "feeds": feeds}))
