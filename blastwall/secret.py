"""Texts that must not be shown: credentials and tokens. Everybody has it from ``blastwall.model``."""

from __future__ import annotations


class Secret:
    """A credential or token whose ``repr`` and ``str`` are ``Secret(***)``; compared in constant time.

    Whoever keeps one longer than a call ends it with :meth:`wipe`.
    """

    __slots__ = ("_bytes", "wiped")

    def __init__(self, text: str) -> None:
        self._bytes = bytearray(text, "utf-8", "surrogatepass")
        self.wiped = False

    def reveal(self) -> str:
        """Return the text. Call it where the secret is handed to its protocol, nowhere else.

        Raises ValueError once it was wiped.
        """
        if self.wiped:
            raise ValueError("this secret was wiped after its use: have another one made")
        return self._bytes.decode("utf-8", "surrogatepass")

    def wipe(self) -> None:
        """Overwrite its bytes. What :meth:`reveal` gave before are strings, freed in the interpreter's own time."""
        self.wiped = True
        for position in range(len(self._bytes)):
            self._bytes[position] = 0

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        from hmac import compare_digest

        return isinstance(other, Secret) and compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        return hash(("Secret", bytes(self._bytes)))

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled: hand over a reference to where it is kept")
