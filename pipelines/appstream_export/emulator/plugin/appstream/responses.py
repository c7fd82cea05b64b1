"""AWS JSON 1.1 as moto calls it: `moto_server` and `mock_aws` come through here, our own server does not need to."""

import json
from typing import Any

from moto.core.responses import BaseResponse

from .models import EmulatedAwsError, get_appstream_backend

CONTENT_TYPE = "application/x-amz-json-1.1"


class AppStreamResponse(BaseResponse):
    """Answers calls of AppStream; finds account and region as every service of moto does."""

    def __init__(self) -> None:
        super().__init__(service_name="appstream")

    def _dispatch(
        self, request: Any, full_url: str | None = None, headers: Any = None
    ) -> tuple[int, dict[str, str], str]:
        """Answer any operation of AppStream that lists something; anything else is refused as AWS refuses it."""
        self.setup_class(request, full_url, headers, use_raw_body=True)
        try:
            page = get_appstream_backend(self.current_account, self.region).build_page(
                self._get_action(), json.loads(self.body)
            )
            return 200, {"content-type": CONTENT_TYPE}, json.dumps(page.body)
        except EmulatedAwsError as error:
            return error.http_status, {"content-type": CONTENT_TYPE}, json.dumps(error.body)
