"""Which requests moto brings here: its server asks for `appstream.`, botocore itself for `appstream2.`."""

from .responses import AppStreamResponse

url_bases = [r"https?://appstream2?\.(.+)\.amazonaws\.com"]
url_paths = {"{0}/$": AppStreamResponse.dispatch}
