"""What a client sent last, decoded and laid out: those that name nothing send the same text again and again."""

from __future__ import annotations

from typing import Final

from blastwall.protocols.postgres import messages

#: Texts and frames above this are not kept for the next time (bytes).
LONGEST_KEPT: Final = 4096


class Recent:
    """One connection's last text, and the last Parse without a name as it went upstream. Both are kept with all that
    they are made of, and looked at before they are used: nothing else can make them wrong.
    """

    __slots__ = ("_bytes", "_frame", "_signature", "_text", "_type_ids", "_words")

    def __init__(self) -> None:
        self._bytes = b""
        self._words = ""
        self._frame = b""
        self._text = ""
        self._type_ids: tuple[int, ...] = ()
        self._signature = b""

    def words(self, text: bytes) -> str | None:
        """The text as words, the same object for the same text again; None: it is no UTF-8."""
        if text == self._bytes:
            return self._words
        try:
            words = text.decode("utf-8")
        except UnicodeDecodeError:
            return None
        if len(text) <= LONGEST_KEPT:
            self._bytes = text
            self._words = words
        return words

    def parse(self, name: str, text: str, type_ids: tuple[int, ...], signature: bytes) -> bytes:
        """A Parse upstream: of the text with the signature behind it, under this name of the gateway's."""
        if name:
            return messages.parse(name.encode(), text.encode() + signature, type_ids)
        if len(self._frame) > 0 and text == self._text and type_ids == self._type_ids and signature == self._signature:
            return self._frame
        frame = messages.parse(b"", text.encode() + signature, type_ids)
        if len(frame) <= LONGEST_KEPT:
            self._frame = frame
            self._text = text
            self._type_ids = type_ids
            self._signature = signature
        return frame
