"""What images add to the figures that were asked for, and which of these make sense for a set of classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import Catalog, plain_name
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, SegmentMap
from segstudio.evaluation.boundary import BoundaryScore, TrimapIou
from segstudio.evaluation.cityscapes import CityscapesScore
from segstudio.evaluation.coco import COCO_DETECTIONS, CocoInstance, CocoScore, instances_of
from segstudio.evaluation.counting import VALUES, Labels
from segstudio.evaluation.em import EmScore
from segstudio.evaluation.outcome import Metric
from segstudio.evaluation.panoptic import PanopticMap, PanopticQuality
from segstudio.imaging.cityscapes_labels import INSTANCES_EACH, cityscapes_labels

_MEMBRANES: Final = frozenset({"membrane", "membranes", "boundary", "boundaries", "border", "borders"})
_NAMED: Final = 3
_NAME_LETTERS: Final = 40
_UNLABELED: Final = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """One image: (H, W) uint8 class ids of prediction and label, and their segment maps where instances matter."""

    prediction: Labels
    label: Labels
    maps: tuple[SegmentMap, SegmentMap] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is counted.

    Attributes:
        catalog: The classes.
        metrics: Those that make sense for them.
        reasons: Why the others do not, a sentence each.
        tolerance_px: Of the boundary score; None for its usual part of the diagonal.
        membrane: The class that parts cells, for the EM figures.
        label_ids: (256,) uint8, Cityscapes' label id by class id; 0 ("unlabeled") where there is none.
    """

    catalog: Catalog
    metrics: frozenset[Metric]
    reasons: dict[Metric, str]
    tolerance_px: float | None
    membrane: int | None
    label_ids: npt.NDArray[np.uint8] | None

    @classmethod
    def of(cls, catalog: Catalog, metrics: Iterable[Metric], *, tolerance_px: float | None = None) -> Plan:
        """The plan for those metrics that make sense for the classes."""
        wanted = frozenset(metrics)
        reasons: dict[Metric, str] = {}
        membrane = _membrane(catalog) if Metric.EM in wanted else None
        if Metric.EM in wanted and membrane is None:
            reasons[Metric.EM] = 'Needs a class that parts cells: call it "membrane" or, of two, "background".'
        label_ids, strangers = _cityscapes(catalog) if Metric.CITYSCAPES in wanted else (None, [])
        if strangers:
            more = f" and {len(strangers) - _NAMED} more" if len(strangers) > _NAMED else ""
            names = ", ".join(f'"{name[:_NAME_LETTERS]}"' for name in strangers[:_NAMED]) + more
            reasons[Metric.CITYSCAPES] = f"Needs Cityscapes' own class names; these are none: {names}."
            label_ids = None
        return cls(
            catalog=catalog,
            metrics=wanted - set(reasons),
            reasons=reasons,
            tolerance_px=tolerance_px,
            membrane=membrane,
            label_ids=label_ids,
        )

    @property
    def needs_segments(self) -> bool:
        """True where class ids alone do not do."""
        return any(metric.needs_segments for metric in self.metrics)

    def tally(self, pair: Pair | None = None) -> Tally:
        """A tally of one image, or of none yet."""
        ids = self.catalog.sorted_ids
        has = self.metrics.__contains__
        tally = Tally(
            boundary=BoundaryScore(ids, tolerance_px=self.tolerance_px) if has(Metric.BOUNDARY) else None,
            trimap=TrimapIou(ids) if has(Metric.TRIMAP) else None,
            panoptic=PanopticQuality.for_catalog(self.catalog) if has(Metric.PANOPTIC) else None,
            coco=CocoScore(ids) if has(Metric.COCO) else None,
            cityscapes=CityscapesScore() if has(Metric.CITYSCAPES) else None,
            em=EmScore() if has(Metric.EM) else None,
        )
        if pair is not None:
            self._add(tally, pair)
        return tally

    def _add(self, tally: Tally, pair: Pair) -> None:
        if tally.boundary is not None:
            tally.boundary.add(pair.prediction, pair.label)
        if tally.trimap is not None:
            tally.trimap.add(pair.prediction, pair.label)
        if tally.em is not None:
            # The challenge knows no void: what the label leaves open is taken to be as predicted.
            label = np.where(self._void(pair.label), pair.prediction, pair.label)
            tally.em.add(pair.prediction != self.membrane, label != self.membrane)
        if pair.maps is not None:
            self._add_segments(tally, pair, *pair.maps)

    def _add_segments(self, tally: Tally, pair: Pair, prediction: SegmentMap, label: SegmentMap) -> None:
        tally.true_segments += len(label.used_segments())
        tally.predicted_segments += len(prediction.used_segments())
        if tally.panoptic is not None:
            tally.panoptic.add(PanopticMap.of(prediction, self.catalog), PanopticMap.of(label, self.catalog))
        if tally.coco is not None:
            found = instances_of(prediction)
            tally.coco.add(found, instances_of(label))
            tally.crowded += _most_of_a_class(found) > COCO_DETECTIONS[-1]
        if tally.cityscapes is not None and self.label_ids is not None:
            true = self.label_ids[pair.label]
            tally.cityscapes.add(self.label_ids[pair.prediction], true, _instance_ids(label, self.label_ids))

    def _void(self, labels: Labels) -> npt.NDArray[np.bool_]:
        known = np.zeros(VALUES, dtype=np.bool_)
        known[list(self.catalog.sorted_ids)] = True
        return ~known[labels]


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of some images; None where a figure was not asked for.

    Attributes:
        true_segments: Instances in labels.
        predicted_segments: Instances in predictions.
        crowded: Images with more predicted instances of a class than COCO looks at.
    """

    boundary: BoundaryScore | None = None
    trimap: TrimapIou | None = None
    panoptic: PanopticQuality | None = None
    coco: CocoScore | None = None
    cityscapes: CityscapesScore | None = None
    em: EmScore | None = None
    true_segments: int = 0
    predicted_segments: int = 0
    crowded: int = 0

    def merge(self, other: Tally) -> None:
        """Adds the images of another tally of the same plan."""
        for entry in fields(self):
            own: Any = getattr(self, entry.name)
            more = getattr(other, entry.name)
            if isinstance(own, int):
                setattr(self, entry.name, own + more)
            elif own is not None:
                own.merge(more)

    def finish(self) -> dict[Metric, str]:
        """Sentences on figures that mean less than they seem to, or nothing."""
        notes: dict[Metric, str] = {}
        if self.panoptic is not None and not self.true_segments:
            notes[Metric.PANOPTIC] = "The labels hold no instances: all of a class counts as one segment an image."
        if self.coco is not None:
            if not self.true_segments:
                notes[Metric.COCO] = "Needs instances, and the labels hold none."
                self.coco = None
            else:
                sentences = ["Predictions have no scores here: all count as equally sure."]
                if not self.predicted_segments:
                    sentences = ["The predictions hold no instances."]
                if self.crowded:
                    images = f"{self.crowded} image{'s' if self.crowded > 1 else ''}"
                    sentences.append(
                        f"In {images} more than {COCO_DETECTIONS[-1]} instances of a class are predicted; "
                        "COCO looks at the first ones only."
                    )
                notes[Metric.COCO] = " ".join(sentences)
        if self.cityscapes is not None and not self.true_segments:
            # An image without instances leaves the instance-weighted IoU undefined, as it must be here.
            nothing = np.zeros((0, 0), dtype=np.uint8)
            self.cityscapes.add(nothing, nothing)
            notes[Metric.CITYSCAPES] = "The labels hold no instances, so that there is no instance-weighted IoU."
        return notes


def _membrane(catalog: Catalog) -> int | None:
    named = [c.id for c in catalog if not _MEMBRANES.isdisjoint(plain_name(c.name).split())]
    if len(named) == 1:
        return named[0]
    return catalog.background_id if len(catalog) == 2 and not named else None


def _cityscapes(catalog: Catalog) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """(table of label ids by class id, names of classes that Cityscapes lacks)."""
    known = {plain_name(label.name): label.id for label in cityscapes_labels() if label.id >= 0}
    table = np.full(VALUES, _UNLABELED, dtype=np.uint8)
    strangers = []
    for label_class in catalog:
        label_id = known.get(plain_name(label_class.name))
        if label_id is None:
            strangers.append(label_class.name)
        else:
            table[label_class.id] = label_id
    return table, strangers


def _instance_ids(label: SegmentMap, label_ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """(H, W) int32 as in Cityscapes' instanceIds images; crowds keep their label id there, as its groups do."""
    with_instances = {la.id for la in cityscapes_labels() if la.has_instances}
    # The last entry is for ids that stand for no segment.
    table = np.full(max(label.segments, default=FIRST_SEGMENT_ID) + 2, _UNLABELED, dtype=np.int32)
    table[:VALUES] = label_ids
    numbers: Counter[int] = Counter()
    for segment in label.segments.values():
        label_id = int(label_ids[segment.class_id])
        if label_id in with_instances and not segment.crowd:
            numbers[label_id] += 1
            table[segment.id] = label_id * INSTANCES_EACH + numbers[label_id]
        else:
            table[segment.id] = label_id
    return table[np.minimum(label.ids, table.size - 1)]


def _most_of_a_class(instances: Iterable[CocoInstance]) -> int:
    return max(Counter(instance.class_id for instance in instances).values(), default=0)
