"""The ordinary words of a server in one pass.

Nearly every answer is what was asked for and nothing else: completions, a row description, rows, ReadyForQuery. Those
that are at hand are read here without being taken apart, and leave as the bytes they came in. Whatever is not plainly
so (an error, a notice, a frame that is not all there or not well formed, anything masked or hidden) is left unread, for
``Upstream.next_event`` and ``Answers.digest``, which judge every frame.

Pure: engines in, a chunk out.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from blastwall.model import Chunk
from blastwall.protocols.postgres.answers import COMPLETE, COPY_DATA, MARKS, ROW, Answers
from blastwall.protocols.postgres.frames import HEADER_SIZE, scan_run
from blastwall.protocols.postgres.upstream import LEAST, MOST, Upstream

#: A chunk grows to about this many bytes before it travels down the road.
CHUNK_BYTES: Final = 64 * 1024


def skim(up: Upstream, answers: Answers) -> Chunk | None:
    """Read ordinary frames that answer one statement and hold one completion, up to about CHUNK_BYTES; None when the
    next is not one.

    Raises UpstreamFault for a completion tag or a status that is none.
    """
    buffer = up.unread
    if buffer is None or not answers.plain:
        return None
    data = buffer.data
    start: i64 = buffer.position
    here: i64 = len(data)
    stop: i64 = start + CHUNK_BYTES
    position: i64 = start
    rows: i64 = 0
    number = 0
    tag = ""
    marks = MARKS
    leasts = LEAST
    head = answers.head
    while position < stop and position + HEADER_SIZE <= here and head is not None and not head.hidden:
        kind: i64 = data[position]
        if marks[head.step * 256 + kind] == 0:
            break
        if kind in (ROW, COPY_DATA):
            owner = head.number
            if number and owner != number:
                break
            end, count = scan_run(data, position, kind, leasts[kind], up.max_frame)
            if not count:
                break
            number = owner
            rows += count  # a line of a COPY is a row, too
            position = end
            continue
        size: i64 = i64(read_i32_be(data, position + 1))
        least: i64 = leasts[kind]
        most: i64 = MOST[kind]
        if most == 0:
            most = up.max_control
        end = position + 1 + size
        if size < least or size > most or end > here:
            break
        if kind == COMPLETE:
            owner = head.number
            if (number and owner != number) or len(tag) > 0:
                break
            number = owner
            answers.advance(head, kind, data, position, end)
            tag = answers.tag
        else:
            answers.advance(head, kind, data, position, end)
        head = answers.head
        position = end
    if position == start:
        return None
    buffer.position = position
    whole = start == 0 and position == here  # compiled, a slice is always a copy
    return Chunk(data if whole else data[start:position], number, rows, tag)
