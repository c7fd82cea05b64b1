"""`moto.appstream`: the folder above is in `moto.__path__`, see `appstream_export.emulator.hooks`."""

from .models import appstream_backends  # noqa: F401 - moto looks it up by this name
