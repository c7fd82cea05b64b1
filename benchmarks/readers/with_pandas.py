"""What the snippet for pandas found."""

import json

from snippet import builders, frames, usd

assert str(builders["as_of_utc"].dtype) == "datetime64[us, UTC]", builders["as_of_utc"].dtype
assert builders["is_stale"].dtype == bool
print(json.dumps({"builders": len(builders), "usd": usd.round(2).to_dict(), "feeds": len(frames)}))
