"""From the classes of a source to those of the project, with nothing dropped in silence."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE, Catalog, Kind, LabelClass, plain_name
from segstudio.core.errors import FormatError
from segstudio.core.spans import values_in
from segstudio.formats.options import MatchBy, Unknown

_BACKGROUND: Final = frozenset({"background", "bg"})
_VOID: Final = frozenset({"ignore", "ignored", "void", "unlabeled", "unlabelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceClass:
    """A class as a source declares it.

    Attributes:
        number: What its pixels or shapes carry there; any integer, not only a class id of ours.
        name: Its name there, "" where it has none.
        color: RGB 0-255 where the source says so.
        kind: Thing or stuff where the source says so.
        void: It stands for "no class may be claimed".
        other_name: Another name it goes by.
    """

    number: int
    name: str = ""
    color: tuple[int, int, int] | None = None
    kind: Kind | None = None
    void: bool = False
    other_name: str = ""

    @property
    def title(self) -> str:
        """What to call it in a sentence."""
        return f'"{self.name:.100}" ({self.number})' if self.name else str(self.number)

    @property
    def called(self) -> str:
        """Its name, else what else tells it from others: its colour or its number."""
        if self.name.strip():
            return self.name.strip()
        return f"class {self.number}" if self.color is None else "color {} {} {}".format(*self.color)

    @property
    def is_background(self) -> bool:
        """True where its name says background."""
        return plain_name(self.name) in _BACKGROUND


def source_classes(catalog: Catalog) -> tuple[SourceClass, ...]:
    """The classes of a catalog that lies beside labels."""
    return tuple(SourceClass(number=c.id, name=c.name, color=c.color, kind=c.kind) for c in catalog)


def named_classes(names: Sequence[str], *, first: int = 0) -> tuple[SourceClass, ...]:
    """Classes numbered in the order of their names; a name such as ``__ignore__`` stands for void."""
    return tuple(
        SourceClass(number=number, name=name, void=plain_name(name) in _VOID)
        for number, name in enumerate(names, start=first)
    )


class UnknownClass(FormatError):
    """A label holds a class that the project lacks, and nobody said what it becomes."""

    def __init__(self, where: str, source: SourceClass) -> None:
        super().__init__(
            f"The label {where} holds the class {source.title}, which this project lacks.",
            "Say which class it is, add it, or have it ignored; or correct the file.",
        )
        self.source = source


def usual_match(classes: Sequence[SourceClass]) -> MatchBy:
    """How classes are matched unless the person says otherwise: by names if there are any, else by colours, numbers."""
    if any(c.name for c in classes):
        return MatchBy.NAME
    return MatchBy.COLOR if any(c.color for c in classes) else MatchBy.NUMBER


class ClassTable:
    """Finds the project's class for each number of a source; safe to ask from several threads."""

    def __init__(
        self,
        classes: Sequence[SourceClass],
        catalog: Catalog,
        *,
        by: MatchBy | None = None,
        given: Mapping[int, int] | None = None,
        unknown: Unknown = Unknown.REFUSE,
        add: Callable[[SourceClass], LabelClass] | None = None,
    ) -> None:
        """Matches `classes` with those of `catalog`.

        Args:
            classes: What the source declares; none for a source of bare numbers.
            catalog: The project's classes.
            by: See `ImportOptions.by`.
            given: The person's own choice, which goes before everything else.
            unknown: What to do with a number that nothing matches.
            add: Makes a class of the project; needed for `Unknown.ADD`. Called by one thread at a time.

        Raises:
            FormatError: `given` names a class that `catalog` lacks.
        """
        stray = next((c for c in (given or {}).values() if c != IGNORE and c not in catalog), None)
        if stray is not None:
            raise FormatError(f"The project has no class {stray}.", "Choose one of its classes, or ignore.")
        self._declared = {c.number: c for c in classes}
        self._catalog = catalog
        self._by = by or usual_match(classes)
        self._unknown = unknown
        self._add = add
        self._lock = threading.Lock()
        self._found: dict[int, int] = {}
        for declared in classes:
            match = self.match(declared)
            if match is not None:
                self._found[declared.number] = match
        self._found |= given or {}

    @property
    def catalog(self) -> Catalog:
        """The project's classes, with those added meanwhile."""
        return self._catalog

    @property
    def unmatched(self) -> tuple[SourceClass, ...]:
        """Declared classes that the project lacks, whether a pixel uses them or not."""
        return tuple(c for number, c in self._declared.items() if number not in self._found)

    def match(self, source: SourceClass) -> int | None:
        """The project's class id (255 for void) that a class of the source means by itself; None where it lacks it."""
        if self._by is MatchBy.NUMBER:
            known = source.number in self._catalog
            found = self._catalog[source.number] if known else None
        elif self._by is MatchBy.COLOR:
            found = self._by_color(source)
        else:
            found = self._by_names(source)
        if found is not None:
            return found.id
        return IGNORE if source.void else None

    def of(self, number: int, where: str, *, undeclared: SourceClass | None = None) -> int:
        """The class id (255 for ignore) of a number.

        Args:
            number: Of the source.
            where: Names the label for the error.
            undeclared: What the class would be like where the source does not declare the number; without a choice of
                the person's, it is the project's class of that colour.

        Raises:
            FormatError: Nothing in the project matches it, and `Unknown.REFUSE` was chosen.
        """
        with self._lock:
            if number not in self._found:
                self._found[number] = self._resolve(number, where, undeclared)
            return self._found[number]

    def apply(self, numbers: npt.NDArray[Any], where: str, *, void: int | None = IGNORE) -> npt.NDArray[np.uint8]:
        """(H, W) uint8 class ids of (H, W) uint8 or uint16 numbers; the number `void` becomes 255.

        Raises:
            FormatError: As `of`.
        """
        present = values_in(numbers).tolist()
        table = np.full((present[-1] if present else 0) + 1, IGNORE, dtype=np.uint8)
        for number in present:
            table[number] = IGNORE if number == void else self.of(number, where)
        if np.array_equal(table[present], present):  # nothing to translate, as with our own exports
            return numbers.astype(np.uint8, copy=False)
        return table.take(numbers)

    def _by_color(self, source: SourceClass) -> LabelClass | None:
        return next((c for c in self._catalog if c.color == source.color), None)

    def _by_names(self, source: SourceClass) -> LabelClass | None:
        """The class of that very name, else of one that only looks different; void is no class by its looks."""
        names = [name for name in (source.name, source.other_name) if name]
        exact = next(filter(None, map(self._catalog.by_name, names)), None)
        if exact is not None or source.void:
            return exact
        if source.is_background and self._catalog.background_id is not None:
            return self._catalog[self._catalog.background_id]
        wanted = {plain_name(name) for name in names}
        return next((c for c in self._catalog if plain_name(c.name) in wanted), None)

    def _resolve(self, number: int, where: str, undeclared: SourceClass | None) -> int:
        declared = self._declared.get(number)
        if declared is None:
            if number in self._catalog and (not self._declared or self._by is MatchBy.NUMBER):
                return number
            declared = undeclared or SourceClass(number=number)
            if (match := self._by_color(declared)) is not None:
                return match.id
        if self._unknown is Unknown.IGNORE:
            return IGNORE
        if self._unknown is Unknown.ADD and self._add is not None:
            made = self._add(declared)
            self._catalog = self._catalog.with_class(made)
            return made.id
        raise UnknownClass(where, declared)


def class_for(source: SourceClass, catalog: Catalog) -> LabelClass:
    """A new class for one of a source: its own number where that is free, its name, colour and kind where known."""
    number = source.number if 0 <= source.number < IGNORE and source.number not in catalog else catalog.next_id()
    # JSON may hold halves of characters, which neither a file nor the screen takes.
    wanted = source.called.encode("utf-8", "replace").decode()
    name, suffix = wanted, 2
    while catalog.by_name(name) is not None:
        name = f"{wanted} {suffix}"
        suffix += 1
    made = Catalog.from_json([{"id": number, "name": name}])[number]
    return LabelClass(id=number, name=name, color=source.color or made.color, kind=source.kind or made.kind)
