"""Prompts of several files, of which none is there twice."""

from __future__ import annotations

from waltzjax.data.links import Links
from waltzjax.data.sources import Found
from waltzjax.data.text import normalised


class Pool:
    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, Found]] = {}
        self._links = Links()
        self.contradicted: set[str] = set()  # harmful in one place, harmless in another

    def add(self, found: Found, file: int) -> bool:
        """Whether its text was there before, in another form perhaps. Kept is that of the first
        file, and of several there the least, whatever the order of rows."""
        text = normalised(found.text)
        self._links.join(text, found.group)
        met = text in self._kept
        before = self._kept.get(text, (file, found))
        if before[1].harmful != found.harmful:
            self.contradicted.add(text)
        self._kept[text] = min(before, (file, found))
        return met

    def prompts(self) -> list[Found]:
        """All but the contradicted; a group is now all that is linked, by whatever chain."""
        return [
            found._replace(group=self._links.root(text))
            for text, (_, found) in self._kept.items()
            if text not in self.contradicted
        ]
