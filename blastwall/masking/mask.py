"""The sink's side of masking, and the only mint of :class:`blastwall.model.Masked`.

A chunk brings the sheet that says how its bytes are laid out and what of them is masked: values that had to come up raw
(hash, fake), and whatever the content detectors find. A chunk without a sheet comes from a target without masking, or
holds nothing of the target's. The type stays in the road so that nothing can be relayed that did not come through here.
"""

from __future__ import annotations

from blastwall.model import Chunk, Masked


def mask(chunk: Chunk) -> Masked:
    """Turn a chunk into what may be relayed. Without a sheet it costs one allocation.

    Raises UpstreamFault when the bytes are not laid out as the sheet says: then nothing of them is shown.
    """
    sheet = chunk.sheet
    if sheet is None:
        return Masked(chunk.data, chunk.statement, chunk.rows, chunk.tag, chunk.error, chunk.direction)
    data, cells = sheet.masked(chunk.data)
    return Masked(data, chunk.statement, chunk.rows, chunk.tag, chunk.error, chunk.direction, cells)
