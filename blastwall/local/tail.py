"""A recording while it is written: its records as they reach the disk, whichever process writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from blastwall.local.recordings import Entry
from blastwall.recording.codec import Torn
from blastwall.recording.reader import Reader
from blastwall.recording.records import End, Record, Seal

PERIOD = 0.2  # seconds between two looks: as often as a writer flushes


def tail(entry: Entry, wait: Callable[[float], object]) -> Iterator[Record]:
    """Yield the records there are, then those that come, until the recording ends or nobody writes it any more.

    ``wait`` takes seconds. When the writer went without an end, or a block is not what was written, an end says so.
    Raises FormatFault for what is no recording, RecordingFault when it cannot be read.
    """
    with entry.open() as file:
        reader: Reader | None = None
        last, ended = 0, False
        while True:
            live = entry.live()  # before reading: what was written until then is read below
            try:
                if reader is None:
                    file.seek(0)
                    reader = Reader(file)
                else:
                    reader.again(file)
            except Torn:
                if not live:
                    raise
                wait(PERIOD)
                continue
            for record in reader.records():
                last = record.at
                ended = ended or isinstance(record, End)
                if isinstance(record, Seal):
                    return
                yield record
            if reader.problem is not None and not isinstance(reader.problem, Torn):
                tampered = f"TAMPERED: {reader.problem} Nothing after this can be believed."
                yield End(reader.sequence, last, tampered, 0.0, {})
                return
            if not live:
                if not ended:
                    yield End(reader.sequence, last, "The recording stops here: its writer was stopped.", 0.0, {})
                return
            wait(PERIOD)
