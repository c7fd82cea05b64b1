"""Every file operation of the lake goes through its store: what a test can fail is all there is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# In a process of its own: an audit hook stays for ever. DuckDB and Arrow open files without telling Python; that we
# never hand them a path for writing but the catalog's is what the same code on S3 shows, where no path would do.
WATCHED = """
import json, os, sys, traceback
from pathlib import Path

from appstream_export.contracts import load_contracts
from tests.lake.lakes import Lake
from tests.lake.told import Told
from tests.lake.trials import ACTS

root, seen = sys.argv[1], []

def is_being_built(places):
    # a file that the store lets somebody fill, before it puts it in its place
    return all(Path(place).name.startswith(".tmp-") for place in places) and {"build_file", "build_database"} & {
        frame.name for frame in traceback.extract_stack()
    }

def hook(event, args):
    if event != "open" and not event.startswith(("os.", "shutil.", "glob.", "pathlib.")):
        return
    places = [os.fspath(a) for a in args if isinstance(a, (str, os.PathLike))]
    places = [place for place in places if place.startswith(root)]
    if not places or is_being_built(places):
        return
    frames = [f.filename for f in traceback.extract_stack()]
    ours = [name.partition("/appstream_export/")[2] for name in frames if "/appstream_export/" in name]
    seen.append((event, ours[-1] if ours else ""))

sys.addaudithook(hook)
told = Told(Lake(Path(root)))
for act in ("first commit", "publish", "thin", "gc", "erase"):
    prepare, do = ACTS[act]
    prepare(told)
    do(told, told.healthy)
    told.check()
print(json.dumps(sorted(set(map(tuple, seen)))))
"""


@pytest.mark.long
def test_all_operations_on_a_warehouse_are_the_stores(tmp_path: Path) -> None:
    root = tmp_path / "warehouse"
    done = subprocess.run([sys.executable, "-c", WATCHED, root], cwd=ROOT, capture_output=True, text=True, check=True)
    seen = {tuple(pair) for pair in json.loads(done.stdout)}

    assert {event for event, _ in seen} >= {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.scandir"}
    assert {module for _, module in seen} == {"lake/storage/local.py", "lake/storage/folder_calls.py"}
