"""What the snippet for csv found."""

import json

from snippet import builders, current, read_feed, usd

feeds = len([read_feed(feed) for feed in current["feeds"]])
paid = {team: round(value, 2) for team, value in usd.items()}
print(json.dumps({"builders": len(builders), "usd": paid, "feeds": feeds}))
