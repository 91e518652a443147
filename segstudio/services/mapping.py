"""Which class of the project each class of a source becomes, as a person decides it before an import."""

from __future__ import annotations

from typing import Final

from segstudio.core.catalog import IGNORE, Catalog, LabelClass
from segstudio.core.errors import UserError
from segstudio.core.items import Status
from segstudio.formats.classes import SourceClass, class_for
from segstudio.formats.options import ImportOptions, MatchBy, Unknown
from segstudio.services.previewing import ImportPreview

ADD: Final = -1
"""A target beside class ids and 255 for ignore: the class is added to the project."""


class ClassMapping:
    """What each class of a source becomes: what the person chose, else what the way of matching proposes.

    A target is a class id of the project, 255 for ignore, `ADD`, or None where nobody decided yet.

    Attributes:
        preview: The source.
        catalog: The project's classes.
        by: How classes are matched.
        added: The classes that importing would add, by their number in the source.
        problem: Why the classes to add do not go in; "" where they do.
    """

    def __init__(self, preview: ImportPreview, catalog: Catalog) -> None:
        self.preview = preview
        self.catalog = catalog
        self.by = preview.usual_match
        self.added: dict[int, LabelClass] = {}
        self.problem = ""
        self._own: dict[int, int] = {}
        self._renew()

    def match_by(self, by: MatchBy) -> None:
        """Matches in another way; the person's own choices stay."""
        self.by = by
        self._renew()

    def set_catalog(self, catalog: Catalog) -> None:
        """Matches with other classes; choices of a class that is gone, or to add one that is there now, are over."""
        self.catalog = catalog
        matched = self.preview.proposal(catalog, self.by)
        self._own = {
            number: target
            for number, target in self._own.items()
            if target == IGNORE or target in catalog or (target == ADD and matched.get(number) is None)
        }
        self._renew()

    def choose(self, target: int, *numbers: int) -> None:
        """Takes the person's choice for classes of the source."""
        self._own |= dict.fromkeys(numbers, target)
        self._renew()

    def target(self, number: int) -> int | None:
        """What a class of the source becomes."""
        return self._own.get(number, self._proposal.get(number))

    def label_class(self, number: int) -> LabelClass | None:
        """The class that pixels of a class of the source will carry; None for ignore and where it is undecided."""
        target = self.target(number)
        if target == ADD:
            return self.added.get(number)
        return None if target is None or target == IGNORE else self.catalog[target]

    @property
    def undecided(self) -> tuple[SourceClass, ...]:
        """Classes that pixels of the samples use and that nobody decided."""
        used = self.preview.pixels
        return tuple(c for c in self.preview.classes if used.get(c.number) and self.target(c.number) is None)

    @property
    def adds(self) -> bool:
        """True where some class is to be added; then classes that only later labels show are added as well."""
        return any(self.target(c.number) == ADD for c in self.preview.classes)

    def options(self, status: Status) -> ImportOptions:
        """The mapping as an import takes it; classes nobody decided are added or refused, never dropped."""
        targets = {c.number: self.target(c.number) for c in self.preview.classes}
        return ImportOptions(
            by=self.by,
            unknown=Unknown.ADD if self.adds else Unknown.REFUSE,
            classes={n: t for n, t in targets.items() if t is not None and t != ADD},
            status=status,
        )

    def _renew(self) -> None:
        self._proposal = self.preview.proposal(self.catalog, self.by)
        self.added, self.problem = {}, ""
        catalog = self.catalog
        for source in self.preview.classes:
            if self.target(source.number) != ADD:
                continue
            try:
                made = class_for(source, catalog)
            except UserError as error:
                self.problem = str(error)
                return
            self.added[source.number] = made
            catalog = catalog.with_class(made)
