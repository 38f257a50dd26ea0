"""The ordinary words of a server in one pass.

Nearly every answer is what was asked for and nothing else: completions, a row description, rows, ReadyForQuery. Those
that are at hand are read here without being taken apart, and leave as the bytes they came in. Whatever is not plainly
so (an error, a notice, a frame that is not all there or not well formed, anything masked or hidden) is left unread, for
``Upstream.next_event`` and ``Answers.digest``, which judge every frame.

Pure: engines in, a chunk out.
"""

from __future__ import annotations

from typing import Final

from blastwall.model import Chunk
from blastwall.protocols.postgres.answers import COMPLETE, COPY_DATA, ROW, Answers
from blastwall.protocols.postgres.upstream import Upstream

#: A chunk grows to about this many bytes before it travels down the road.
CHUNK_BYTES: Final = 64 * 1024


def skim(up: Upstream, answers: Answers) -> Chunk | None:
    """Read ordinary frames that answer one statement, up to about CHUNK_BYTES; None when the next is not one.

    Raises UpstreamFault for a completion tag or a status that is none.
    """
    buffer = up.unread
    if buffer is None or not answers.plain:
        return None
    data = buffer.data
    start = position = buffer.position
    rows = number = 0
    tag = ""
    stop = min(len(data), start + CHUNK_BYTES)
    while position < stop:
        kind = data[position]
        if not answers.awaits(kind):
            break
        if kind in (ROW, COPY_DATA, COMPLETE):
            owner = answers.number
            if number and owner != number:
                break
            if kind == COMPLETE:
                end = up.end_of(position)
                if not end:
                    break
                number = owner
                answers.take(kind, data[position:end])
                tag = answers.tag
                position = end
                continue
            end, count = up.run_at(position)
            if not count:
                break
            number = owner
            if kind == ROW:
                rows += count
        else:
            end = up.end_of(position)
            if not end:
                break
            answers.take(kind, data[position:end])
        position = end
    if position == start:
        return None
    buffer.position = position
    whole = start == 0 and position == len(data)  # compiled, a slice is always a copy
    return Chunk(data if whole else data[start:position], number, rows, tag)
