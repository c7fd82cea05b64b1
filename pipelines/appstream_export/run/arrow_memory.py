"""Where Arrow takes memory from. It loads no Arrow, which reads the choice when it is loaded."""

import os
from collections.abc import MutableMapping

VARIABLE = "ARROW_DEFAULT_MEMORY_POOL"


def choose_arrow_memory(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let Arrow take memory from the system, unless the environment chooses; call it before Arrow is loaded.

    Arrow's own allocator is no faster here, and retains some 30 MB of what each batch of pages frees.
    """
    environ.setdefault(VARIABLE, "system")
