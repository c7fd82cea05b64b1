"""URL patterns of the plug-in: moto's server matches `appstream.`, botocore in process `appstream2.`."""

from .responses import AppStreamResponse

url_bases = [r"https?://appstream2?\.(.+)\.amazonaws\.com"]
url_paths = {"{0}/$": AppStreamResponse.dispatch}
