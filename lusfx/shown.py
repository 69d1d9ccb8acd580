"""How a result shows itself: as its summary in a console, and as that with a small table in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from html import escape


class Shown(ABC):
    """A result that has a summary. What it holds besides is thousands of characters, and may name files."""

    __slots__ = ()

    @abstractmethod
    def summary(self) -> str:
        """One line."""

    def table_cells(self) -> Sequence[Sequence[str]]:
        """A few rows below the summary, the header first; none where the summary says it all."""
        return ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.summary()}>"

    def _repr_html_(self) -> str:
        rows = [
            "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)
            for tag, cells in zip(["th", *["td"] * len(self.table_cells())], self.table_cells(), strict=False)
        ]
        table = f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>" if rows else ""
        return f"<p>{escape(self.summary())}</p>{table}"
