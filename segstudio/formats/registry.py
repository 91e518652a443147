"""Every format by name: what it is called, what it keeps, and what writes and reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from segstudio.core.catalog import Catalog
from segstudio.core.errors import UserError
from segstudio.formats.base import CancelCallback, ExportReport, Importer, LabelledImage, ProgressCallback
from segstudio.formats.cityscapes import CityscapesWriter
from segstudio.formats.cityscapes_import import CityscapesImporter
from segstudio.formats.coco import CocoImporter, CocoWriter
from segstudio.formats.coco_stuff import CocoStuffImporter, CocoStuffWriter
from segstudio.formats.color_png import ColorPngImporter, ColorPngWriter
from segstudio.formats.cvat import CvatImporter, CvatWriter
from segstudio.formats.exporting import WriterFactory, export_images, survey_losses
from segstudio.formats.index_png import IndexPngImporter, IndexPngWriter
from segstudio.formats.labelme import LabelmeImporter, LabelmeWriter
from segstudio.formats.loss import LossReport
from segstudio.formats.numpy_arrays import NumpyImporter, NumpyWriter
from segstudio.formats.options import ExportOptions, Shapes
from segstudio.formats.panoptic import PanopticImporter, PanopticWriter
from segstudio.formats.pascal_context import PascalContextImporter, PascalContextWriter
from segstudio.formats.voc import VocImporter, VocWriter
from segstudio.formats.yolo import YoloImporter, YoloWriter


class Choice(StrEnum):
    """An option of an export that means something to a format."""

    IMAGES = "images"
    SHAPES = "shapes"
    BORDER = "border"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format.

    Attributes:
        name: What commands call it.
        title: What people call it.
        writes: One sentence: what is in an export.
        reads: One sentence: what to choose for an import.
        writer: Makes the writer of one export.
        importer: Reads it.
        choices: Options with a meaning here; splits, undecided pixels, zip and replacing mean something everywhere.
        file_suffixes: Of the files an import may be given instead of a folder.
        exact: The ways to write shapes that keep every pixel, instance and ignore, whatever the labels.
    """

    name: str
    title: str
    writes: str
    reads: str
    writer: WriterFactory
    importer: Importer
    choices: frozenset[Choice] = frozenset({Choice.IMAGES})
    file_suffixes: tuple[str, ...] = ()
    exact: frozenset[Shapes] = frozenset()

    def keeps_all(self, options: ExportOptions) -> bool:
        """True where an export needs no check of what it loses."""
        return options.shapes in self.exact and options.border == 0

    def export(
        self,
        images: Sequence[LabelledImage],
        catalog: Catalog,
        out: Path,
        *,
        options: ExportOptions | None = None,
        progress: ProgressCallback | None = None,
        cancelled: CancelCallback | None = None,
    ) -> ExportReport:
        """What was written to `out`: see `export_images`."""
        return export_images(
            self.name, self.writer, images, catalog, out, options=options, progress=progress, cancelled=cancelled
        )

    def losses(
        self,
        images: Sequence[LabelledImage],
        catalog: Catalog,
        *,
        options: ExportOptions | None = None,
        progress: ProgressCallback | None = None,
        cancelled: CancelCallback | None = None,
    ) -> LossReport:
        """What an export would lose: see `survey_losses`."""
        return survey_losses(self.writer, images, catalog, options=options, progress=progress, cancelled=cancelled)


_ALL: Final = (
    Format(
        name="voc",
        title="PASCAL VOC",
        writes="JPEGImages, SegmentationClass and SegmentationObject as palette PNG (255 = void), and image lists.",
        reads="A folder with SegmentationClass (and SegmentationObject, where instances matter).",
        writer=VocWriter,
        importer=VocImporter(),
        choices=frozenset({Choice.IMAGES, Choice.BORDER}),
        exact=frozenset(Shapes),
    ),
    Format(
        name="coco",
        title="COCO instances",
        writes="One JSON file with a mask or polygons for each object, and the images.",
        reads="A COCO JSON file of instances, or a folder with annotations/instances.json.",
        writer=CocoWriter,
        importer=CocoImporter(),
        choices=frozenset({Choice.IMAGES, Choice.SHAPES}),
        file_suffixes=(".json",),
        exact=frozenset({Shapes.MASKS}),
    ),
    Format(
        name="panoptic",
        title="COCO panoptic",
        writes="One PNG an image whose colours are segment numbers, a JSON file for each list, and the images.",
        reads="A panoptic JSON file with its folder of PNGs beside it, or a folder of several.",
        writer=PanopticWriter,
        importer=PanopticImporter(),
        file_suffixes=(".json",),
        exact=frozenset(Shapes),
    ),
    Format(
        name="coco-stuff",
        title="COCO-Stuff",
        writes="One grey PNG of class ids an image (255 = void), a JSON file of masks for each list, and the images.",
        reads="A folder of pixel maps (stuffthingmaps, or MAT-files of the 10k release), or a stuff JSON file.",
        writer=CocoStuffWriter,
        importer=CocoStuffImporter(),
        file_suffixes=(".json",),
    ),
    Format(
        name="cityscapes",
        title="Cityscapes",
        writes="leftImg8bit and gtFine: labelIds, trainIds, instanceIds, colours and polygons, in folders by city.",
        reads="A folder with gtFine (or gtCoarse); instanceIds are read where they exist, else labelIds or polygons.",
        writer=CityscapesWriter,
        importer=CityscapesImporter(),
        exact=frozenset(Shapes),
    ),
    Format(
        name="pascal-context",
        title="PASCAL-Context",
        writes="MAT-files with labels.txt, PNGs of the 59- and 60-class protocols, and JPEGImages.",
        reads="A folder of MAT-files with labels.txt, or of PNGs of one of the protocols.",
        writer=PascalContextWriter,
        importer=PascalContextImporter(),
    ),
    Format(
        name="labelme",
        title="labelme",
        writes="One JSON beside each image, with masks or polygons, and labels.txt.",
        reads="A folder of labelme's JSON files, or one of them; classes are known by name.",
        writer=LabelmeWriter,
        importer=LabelmeImporter(),
        choices=frozenset({Choice.IMAGES, Choice.SHAPES, Choice.BORDER}),
        file_suffixes=(".json",),
        exact=frozenset({Shapes.MASKS}),
    ),
    Format(
        name="yolo",
        title="YOLO segmentation",
        writes="Images, labels with a line for each polygon, and data.yaml. Holes and ignore are lost.",
        reads="A folder with labels (and data.yaml or classes.txt for the names), or its data.yaml.",
        writer=YoloWriter,
        importer=YoloImporter(),
        choices=frozenset({Choice.IMAGES, Choice.SHAPES, Choice.BORDER}),
        file_suffixes=(".yaml", ".yml"),
    ),
    Format(
        name="cvat",
        title="CVAT for images",
        writes="annotations.xml with masks as run lengths or polygons, images, and lists.",
        reads="CVAT's XML file for images 1.1, or the folder with annotations.xml.",
        writer=CvatWriter,
        importer=CvatImporter(),
        choices=frozenset({Choice.IMAGES, Choice.SHAPES, Choice.BORDER}),
        file_suffixes=(".xml",),
        exact=frozenset({Shapes.MASKS}),
    ),
    Format(
        name="index-png",
        title="Index PNG",
        writes="One palette PNG an image: the pixel value is the class id, 255 is ignore. No images.",
        reads="A folder of PNG whose pixel values are class ids; 255 is ignore. Files match images by name.",
        writer=IndexPngWriter,
        importer=IndexPngImporter(),
        choices=frozenset(),
    ),
    Format(
        name="color-png",
        title="Colour PNG",
        writes="One RGB PNG an image in the colours of the classes, and colormap.txt. No images.",
        reads="A folder of PNG whose colours are those of a class table beside them, or of the project's classes.",
        writer=ColorPngWriter,
        importer=ColorPngImporter(),
        choices=frozenset(),
    ),
    Format(
        name="numpy",
        title="NumPy",
        writes="One .npy an image with class ids (255 = ignore), and one with segment ids. No images.",
        reads="A folder of .npy or .npz with class ids; 255 and -1 are ignore. Files match images by name.",
        writer=NumpyWriter,
        importer=NumpyImporter(),
        choices=frozenset(),
        exact=frozenset(Shapes),
    ),
)
FORMATS: Final[dict[str, Format]] = {f.name: f for f in _ALL}


def format_named(name: str) -> Format:
    """The format of that name.

    Raises:
        UserError: There is none.
    """
    if name not in FORMATS:
        names = tuple(FORMATS)
        raise UserError(f'There is no format "{name}".', f"Use {', '.join(names[:-1])} or {names[-1]}.")
    return FORMATS[name]
