"""A dense CRF put together by hand: any unary energies, any kernels, any compatibility of labels."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, SupportsIndex

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import UserError
from segstudio.core.jobs import Progress
from segstudio.refine import mean_field_kernels as rows
from segstudio.refine.api import ignore_progress, never
from segstudio.refine.energy import checked_image
from segstudio.refine.lattice import Lattice, build_lattice
from segstudio.refine.lattice_kernels import MAX_DIMENSIONS
from segstudio.refine.mean_field import Floats, MeanField, Term, aligned, infer, layout, term
from segstudio.refine.native_backend import Reach, image_lattice, packed, shared_cache, visiting_order
from segstudio.refine.recent import fingerprint
from segstudio.refine.team import span, team

Normalization = Literal["none", "before", "after", "symmetric"]

_NORMALIZATIONS: Final = ("none", "before", "after", "symmetric")
# Entries of a lattice and of the result are counted in 32 bits.
_MAX_ENTRIES: Final = 2**31 - 1
_MAX_ITERATIONS: Final = 1000
# Far above any use, and far below where a float32 exponent overflows.
_LARGEST_ENERGY: Final = 1e6
_LARGEST_WIDTH: Final = 1e9


class DenseCrf:
    """A fully connected CRF over the pixels of one image (Kraehenbuehl and Koltun 2011), refined by mean field.

    Its answers are those of pydensecrf for the same energy. Give it the unary energies and the kernels, in any order,
    then call `infer`, as often as you like. Input may have any layout and number type, and is copied.

    Args:
        height: Of the image, pixels.
        width: Of the image, pixels.
        labels: How many there are to choose from.

    Raises:
        UserError: a number is not a positive integer, or all together are too many for 32-bit indices.
    """

    def __init__(self, height: SupportsIndex, width: SupportsIndex, labels: SupportsIndex) -> None:
        self.height = _positive("height", height)
        self.width = _positive("width", width)
        self.labels = _positive("number of labels", labels)
        if self._pixels * max(self.labels, MAX_DIMENSIONS + 1) > _MAX_ENTRIES:
            raise UserError(
                f"An image of {self.width} x {self.height} pixels with {self.labels} labels is too large for the CRF.",
                "Refine a smaller image, or use fewer labels.",
            )
        self._logits: Floats | None = None
        self._uniform = 0
        self._terms: list[Term] = []

    @property
    def uniform(self) -> int:
        """Pixels whose unary energies or probabilities said nothing usable, and which were taken as uniform."""
        return self._uniform

    @property
    def kernels(self) -> int:
        """How many kernels were added."""
        return len(self._terms)

    def set_unary(self, energies: npt.ArrayLike) -> None:
        """Takes the cost of each label at each pixel, in place of what was set before.

        Positive infinity forbids a label. A pixel with a value that is not a number or negative infinity, or without
        a finite one, becomes uniform and is counted in `uniform`.

        Args:
            energies: (M, N) or (M, H, W) of any number type; only differences between labels matter.

        Raises:
            UserError: not numbers of this shape.
        """
        given = self._planes("unary energies", energies)
        wide = given.astype(np.result_type(given.dtype, np.float32))
        with np.errstate(invalid="ignore", over="ignore"):
            # Relative to the best label: a large common part would cost the differences their digits.
            wide -= wide.min(axis=0)
            planes = np.ascontiguousarray(wide, np.float32)
        order, (_, row), threads = self._order, layout(self.labels), team()
        logits, uniform = aligned(self._pixels * row), [0] * threads.size

        def pack(part: int, parts: int) -> None:
            some = span(len(order), part, parts)
            uniform[part] = rows.pack_energies(planes, order, logits, row, *some)

        threads.run(pack)
        self._logits, self._uniform = logits, sum(uniform)

    def set_probabilities(self, probabilities: npt.ArrayLike, *, temperature: float = 1.0) -> None:
        """Takes the energies -log P / T, in place of what was set before; P is clipped at 1e-5.

        A pixel that is no distribution (negative, not finite, no mass) becomes uniform and is counted in `uniform`.

        Args:
            probabilities: (M, N) or (M, H, W) of any number type; each pixel is divided by its sum.
            temperature: T. Above 1 the input counts for less.

        Raises:
            UserError: not numbers of this shape, or a temperature that is not positive.
        """
        given = self._planes("probabilities", probabilities)
        if not 0.01 <= temperature <= 100:
            raise UserError(f"The CRF's temperature is {temperature}.", "Use a number from 0.01 to 100.")
        with np.errstate(over="ignore"):
            planes = np.array(given, np.float32, order="C")
        self._logits, self._uniform = packed(planes, self._order, temperature, team())

    def add_gaussian(
        self,
        xy: float | Sequence[float],
        compatibility: npt.ArrayLike = 3.0,
        normalization: Normalization = "symmetric",
    ) -> None:
        """Adds a kernel of the pixels' distance: neighbours are smoothed.

        Args:
            xy: Its reach in pixels, one number or (x, y).
            compatibility: What labels cost each other at pixels the kernel holds together. A number w is Potts: the
                energy falls by w where both agree. M numbers or (M, M) are energies as they stand, by which it rises:
                Potts is -w times the identity. A matrix is made symmetric.
            normalization: How the kernel's sum at a pixel is divided out: not at all, before filtering, after it, or
                half before and half after.

        Raises:
            UserError: a reach that is not positive and finite or is too short for the image, another compatibility
                or normalization.
        """
        reach = _widths("reach in pixels", xy, 2)
        check = self._checked(compatibility, normalization)
        key = ((self.height, self.width), reach)
        self._add(shared_cache().get(key, lambda: self._image_lattice(None, reach, None)), *check)

    def add_bilateral(
        self,
        image: npt.NDArray[np.uint8],
        xy: float | Sequence[float],
        rgb: float | Sequence[float],
        compatibility: npt.ArrayLike = 4.0,
        normalization: Normalization = "symmetric",
    ) -> None:
        """Adds a kernel of the pixels' distance and difference in colour: pixels that look alike agree.

        Args:
            image: (H, W, 3) uint8 RGB.
            xy: Its reach in pixels, one number or (x, y).
            rgb: Its reach in colour, steps of 0-255, one number or (red, green, blue).
            compatibility: As for `add_gaussian`.
            normalization: As for `add_gaussian`.

        Raises:
            UserError: as `add_gaussian`; or the image is another size or type.
        """
        checked = checked_image(np.asarray(image))
        if checked.shape[:2] != (self.height, self.width):
            raise UserError(
                f"The image has {checked.shape[1]} x {checked.shape[0]} pixels, and the CRF has "
                f"{self.width} x {self.height}.",
                "Give the image as (height, width, 3).",
            )
        reach, colour = _widths("reach in pixels", xy, 2), _widths("reach in colour", rgb, 3)
        check = self._checked(compatibility, normalization)
        key = ((self.height, self.width), reach, colour, fingerprint(checked))
        self._add(shared_cache().get(key, lambda: self._image_lattice(checked, reach, colour)), *check)

    def add_features(
        self,
        features: npt.ArrayLike,
        compatibility: npt.ArrayLike,
        normalization: Normalization = "symmetric",
    ) -> None:
        """Adds a kernel exp(-|f_i - f_j|^2 / 2) of features of your own, already divided by their widths.

        Args:
            features: (N, d) or (H, W, d) of any number type; 1 to 16 features, at most a million each.
            compatibility: As for `add_gaussian`.
            normalization: As for `add_gaussian`.

        Raises:
            UserError: not finite numbers of this shape, or another compatibility or normalization.
        """
        given = _numbers("features", features)
        fits = given.shape[:-1] in ((self._pixels,), (self.height, self.width))
        if not (fits and 1 <= given.shape[-1] <= MAX_DIMENSIONS):
            raise UserError(
                f"The CRF cannot use features of shape {given.shape} for {self.width} x {self.height} pixels.",
                f"Give ({self._pixels}, d) or ({self.height}, {self.width}, d), d from 1 to {MAX_DIMENSIONS}.",
            )
        check = self._checked(compatibility, normalization)
        with np.errstate(over="ignore"):
            narrow = given.reshape(self._pixels, -1).astype(np.float32)
        self._add(build_lattice(np.ascontiguousarray(narrow[self._order].T), team()), *check)

    def infer(
        self,
        iterations: SupportsIndex = 10,
        *,
        exact: bool = True,
        progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Floats:
        """The mean-field distribution (M, H, W) float32, summing to 1 at every pixel.

        Args:
            iterations: Updates from the unary energies on; 0 returns their softmax.
            exact: Keep every label to the end; else drop a label once it is below 0.01 at every pixel.
            progress: Told before every iteration, and at the end.
            cancelled: Asked before every iteration.

        Raises:
            UserError: no unary energies were set, or the number of iterations cannot be used.
            Cancelled: `cancelled` said so.
        """
        count = _whole("number of iterations", iterations, 0, _MAX_ITERATIONS)
        if self._logits is None:
            raise UserError("The CRF has no unary energies yet.", "Call set_unary or set_probabilities first.")
        field = MeanField(self._logits, self.labels, self._terms, team(), pruned=not exact)
        told = progress or ignore_progress
        infer(field, count, progress=told, cancelled=cancelled or never)
        told(Progress(1.0, "CRF done"))
        return field.result(self._order).reshape(self.labels, self.height, self.width)

    # -- parts ------------------------------------------------------------------------------------------------------

    @property
    def _pixels(self) -> int:
        return self.height * self.width

    @property
    def _order(self) -> npt.NDArray[np.int32]:
        return visiting_order(self.height, self.width)

    def _planes(self, what: str, given: npt.ArrayLike) -> npt.NDArray[Any]:
        """`given` as (M, N)."""
        array, flat = _numbers(what, given), (self.labels, self._pixels)
        if array.shape not in (flat, (self.labels, self.height, self.width)):
            raise UserError(
                f"The CRF cannot use {what} of shape {array.shape} for {self.labels} labels and "
                f"{self.width} x {self.height} pixels.",
                f"Give ({self.labels}, {self.height}, {self.width}) or {flat}.",
            )
        return array.reshape(flat)

    def _checked(self, compatibility: npt.ArrayLike, normalization: str) -> tuple[npt.NDArray[Any], str]:
        array = _numbers("compatibility", compatibility)
        if array.shape not in ((), (self.labels,), (self.labels, self.labels)):
            raise UserError(
                f"The CRF cannot use a compatibility of shape {array.shape} for {self.labels} labels.",
                f"Give one number, {self.labels} numbers, or a matrix of {self.labels} x {self.labels}.",
            )
        # Written so that what is not a number fails too.
        if not np.all(np.abs(array) <= _LARGEST_ENERGY):
            raise UserError(
                "The CRF's compatibility is not finite, or beyond a million.", "Use numbers of moderate size."
            )
        if normalization not in _NORMALIZATIONS:
            raise UserError(
                f"There is no normalization named “{normalization}”.", f"Use one of: {', '.join(_NORMALIZATIONS)}."
            )
        return array, normalization

    def _image_lattice(self, image: npt.NDArray[np.uint8] | None, xy: Reach, rgb: Reach | None) -> Lattice:
        # A copy: kernels are compiled once more for memory that may not be written to.
        pixels = np.zeros((self.height, self.width, 3), np.uint8) if image is None else image.copy()
        return image_lattice(pixels, xy, rgb, team())

    def _add(self, lattice: Lattice, compatibility: npt.NDArray[Any], normalization: str) -> None:
        self._terms.append(term(lattice, compatibility, normalization, self.labels))


def _numbers(what: str, given: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):  # lists of unequal length
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise UserError(f"The CRF's {what} are not an array of real numbers.", "Give a NumPy array of numbers.")
    return array


def _widths(what: str, given: float | Sequence[float], count: int) -> Reach:
    """`given` once for each feature."""
    array = _numbers(what, given)
    if array.shape not in ((), (count,)):
        raise UserError(f"The CRF's {what} has shape {array.shape}.", f"Give one number, or {count} of them.")
    values = tuple(map(float, np.broadcast_to(array, count)))
    for value in values:
        if not (math.isfinite(value) and 0 < value <= _LARGEST_WIDTH):
            raise UserError(f"The CRF's {what} is {value}.", f"Use a number above 0 and at most {_LARGEST_WIDTH:g}.")
    return values


def _positive(what: str, given: SupportsIndex) -> int:
    return _whole(what, given, 1, _MAX_ENTRIES)


def _whole(what: str, given: SupportsIndex, least: int, most: int) -> int:
    hint = f"Use a whole number from {least} to {most}."
    try:
        number = operator.index(given)
    except TypeError:
        raise UserError(f"The CRF's {what} is {given!r}.", hint) from None
    if not least <= number <= most:
        raise UserError(f"The CRF's {what} is {number}.", hint)
    return number
