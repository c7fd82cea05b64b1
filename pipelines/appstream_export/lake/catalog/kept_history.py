"""The manifests of past months in one kept file, so that a publisher does not read each of them again.

Each manifest names its parent's digest: the file is used only from the manifest on that a newer one names, so its rows
are those of the chain. A repair, an expire or an erase begins another chain, which the file is no part of. Readers,
and what verifies or deletes, read the manifests themselves.
"""

import io
from collections.abc import Sequence
from hashlib import sha256
from itertools import takewhile

from appstream_export.lake.catalog.kept_parts import KeptParts
from appstream_export.lake.snapshots import (
    KIND_SWEEP,
    Manifest,
    decode_history,
    encode_history,
    find_newest_rewrite_seq,
    load_history,
)
from appstream_export.lake.storage import KeptName, Store

_NAME = "manifests"
_LEAST = 20  # fewer manifests are read as quickly as a kept file


def load_publishers_history(store: Store) -> list[Manifest]:
    """Return the history, oldest first, with the help of the kept file; empty before the first snapshot."""
    _, content = KeptParts(store).read_newest(_NAME)
    known = {manifest.digest: manifest for manifest in decode_history(content)} if content else {}
    return load_history(store, pass_damage=True, known=known)


def keep_history(kept: KeptParts, manifests: Sequence[Manifest]) -> None:
    """Keep the manifests of months before the newest, unless they are kept already; remove other kept files of them."""
    past = _list_past_sweeps(manifests)
    if len(past) < _LEAST:
        return kept.remove_files(_NAME)
    name, _ = kept.read_newest(_NAME)
    if name and name.key == past[-1].digest:
        return None
    content = encode_history(past)
    month = f"{past[-1].committed_at:%Y-%m}"
    written = KeptName(_NAME, month, past[-1].digest, sha256(content).hexdigest(), "msgpack")
    kept.remove_files(_NAME)
    kept.write_content(written, io.BytesIO(content))
    return None


def _list_past_sweeps(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the sweeps since the newest rewrite and before the newest month; none if files of any were lost."""
    if any(manifest.lost for manifest in manifests):
        return []  # what is lost is left out of the history that was loaded
    month, since = f"{manifests[-1].committed_at:%Y-%m}", find_newest_rewrite_seq(manifests)
    newer = [manifest for manifest in manifests if manifest.seq > since and manifest.kind == KIND_SWEEP]
    return list(takewhile(lambda manifest: f"{manifest.committed_at:%Y-%m}" < month, newer))
