"""datapackage, an older library of the standard: `python with_datapackage.py FOLDER`, the folder of current.json."""

import json
import sys
from pathlib import Path

from datapackage import Package

v2 = Path(sys.argv[1]).parent
current = json.loads((v2 / "current.json").read_text("utf-8"))
package = Package(str(v2 / current["datapackage"]))
assert package.valid, package.errors
rows = {resource.name: resource.descriptor["rows"] for resource in package.resources}
print(json.dumps({"builders": rows["image_builder_latest"], "feeds": len(current["feeds"])}))
