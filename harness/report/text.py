"""Text from a guest made safe to look at: guests write every byte, so none is trusted."""

from __future__ import annotations

import codecs
import re


def plain(text: str) -> str:
    """``text`` with everything that could steer a terminal shown as an escape, on one line.

    That is control characters (C0, C1, DEL), line breaks, and the invisible characters that
    change the direction or the meaning of their neighbours.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


class Cleaner:
    """Turns a stream of raw console bytes into text that is safe for a terminal.

    Works over chunks that are cut anywhere, even inside a character or a line ending. CR LF,
    LF CR and a lone CR each become one line break, so that nothing can overwrite a line.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._carriage = False  # a CR was seen whose line break is not written yet
        self._at_start = True  # of a line

    def feed(self, data: bytes) -> str:
        """The text for the next bytes."""
        return self._text(self._decoder.decode(data))

    def close(self) -> str:
        """The text that was still held back: half a character, or a last CR."""
        text = self._text(self._decoder.decode(b"", final=True))
        if self._carriage and not self._at_start:
            text += "\n"
        self._carriage, self._at_start = False, True
        return text

    def _text(self, raw: str) -> str:
        out: list[str] = []
        for part in re.split(r"([\r\n\t])", raw):
            if part == "\r":
                self._carriage = not self._at_start
            elif part == "\n":
                out.append("\n")
                self._carriage, self._at_start = False, True
            elif part:
                if self._carriage:
                    out.append("\n")
                out.append(part if part == "\t" else plain(part))
                self._carriage = self._at_start = False
        return "".join(out)
