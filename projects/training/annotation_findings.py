"""What is wrong with an annotation file: one table with counts, examples and likely causes, said once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from projects.reporting.notices import say_once
from projects.reporting.tables import Table

NUM_EXAMPLES = 3


@dataclass(frozen=True)
class Kind:
    """A fault that entries of an annotation file can have.

    Attributes:
        what: The fault, in the plural.
        outcome: What is done with such entries.
        cause: Where the fault usually comes from.
    """

    what: str
    outcome: str
    cause: str = ''


LEFT_OUT, IGNORED, MENDED, KEPT = 'left out', 'neither trained on nor scored', 'mended', 'kept'

NO_IMAGE = Kind('objects of images that "images" does not list', LEFT_OUT, 'images removed, or ids of another export')
BAD_BOX = Kind('boxes that are not four finite numbers', LEFT_OUT)
FLAT_BOX = Kind('boxes without width or height', LEFT_OUT)
OUTSIDE = Kind('boxes outside of their image', LEFT_OUT, 'coordinates of a larger copy, or not x, y, width, height')
UNCLEAR_CROWD = Kind('values of "iscrowd" that are neither 0 nor 1', LEFT_OUT)
NO_MASK = Kind('objects without a mask', IGNORED, 'drawn or exported as boxes only')
BAD_MASK = Kind('masks that are neither polygons nor run lengths', IGNORED)
BAD_POLYGON = Kind(
    'polygons that enclose nothing', IGNORED, 'fewer than 3 points, not finite, or not nested as [[x1, y1, x2, y2, …]]'
)
RLE_SIZE = Kind(
    'run lengths of another size than the image', IGNORED, '"size" is [height, width]: swapped, or of a resized copy'
)
RLE_COUNTS = Kind(
    'run lengths that do not fill the image exactly', IGNORED, 'cut off, damaged, or bytes written as text (b…)'
)
BAD_RINGS = Kind('polygons of which single rings enclose nothing', 'those rings left out')
NO_BOX = Kind('boxes that are missing, flat or not four finite numbers', 'computed from the mask')
NO_AREA = Kind('areas that are missing or not positive', 'computed from mask or box')
NEW_IDS = Kind('annotation ids that are missing, repeated, or no positive integers', 'all numbered anew')
NEW_IMAGE_IDS = Kind('image ids that are no integers', 'numbered anew')
AS_TEXT = Kind('numbers written as text', 'read as numbers')
SAME_CATEGORY = Kind('categories that have one name', 'taken as one', 'an exporter that repeats the group as a class')
SAME_IMAGE = Kind('images listed twice', 'taken as one', 'files joined')
SAME_OBJECT = Kind('objects listed twice under one id', 'taken as one', 'files joined')
COPY = Kind('objects listed again under another id', LEFT_OUT, 'files joined, or exported twice')
SAME_FILE = Kind('pictures listed under several ids', KEPT, 'files joined: objects of one entry lack in the other')
TINY_BOX = Kind('boxes under one pixel wide or high', 'scored, not trained on')
STICKING_OUT = Kind('boxes that stick out of their image', KEPT)
WRONG_AREA = Kind('areas less than half or more than twice those of their masks', KEPT, 'in another unit than pixels')
CONTRADICTION = Kind('boxes that contradict their masks', KEPT)


@dataclass
class Findings:
    """Faults of one annotation file.

    Attributes:
        path: The file.
        num_annotations: How many it lists.
        counts: How often each kind was found.
        examples: A few of the entries, for each kind.
        causes: Likely causes that replace those of the kinds.
    """

    path: Path
    num_annotations: int
    counts: dict[Kind, int] = field(default_factory=dict)
    examples: dict[Kind, list[str]] = field(default_factory=dict)
    causes: dict[Kind, str] = field(default_factory=dict)

    def add(self, kind: Kind, *example: Any, number: int = 1) -> None:
        """Count a fault.

        Args:
            kind: Which one.
            *example: What names the entry; joined if there is room for another example.
            number: How often it was found.
        """
        self.counts[kind] = self.counts.get(kind, 0) + number
        examples = self.examples.setdefault(kind, [])
        if example and len(examples) < NUM_EXAMPLES:
            examples.append(' '.join(map(str, example)))

    def why_unused(self, annotations: Sequence[dict[str, Any]], category_ids: Collection[int] | None = None) -> str:
        """Why annotations of the file are not used, with counts.

        Args:
            annotations: What was not left out.
            category_ids: Those that the config knows; by default all.
        """
        ignored = sum(count for kind, count in self.counts.items() if kind.outcome == IGNORED)
        others = 0 if category_ids is None else sum(one['category_id'] not in category_ids for one in annotations)
        reasons = [(kind.what, count) for kind, count in self.counts.items() if kind.outcome in (LEFT_OUT, IGNORED)]
        reasons += [
            (TINY_BOX.what, self.counts.get(TINY_BOX, 0)),
            ('marked "ignore"', sum(one.get('ignore', 0) for one in annotations)),
            ('crowds ("iscrowd": 1)', sum(one['iscrowd'] for one in annotations) - ignored),
            ('objects of categories that the config does not name', others),
        ]
        listed = ', '.join(f'{count} {what}' for what, count in reasons if count)
        text = f'Of its {self.num_annotations} annotations: {listed or "no fault is known"}'
        if ignored:
            text += (
                '. Export the masks, or use a config that needs boxes only, such as configs/shvit_retinanet_coco.py '
                "with these classes (in evaluation, metric='bbox')"
            )
        return text

    def report(self, num_images: int) -> None:
        """Print everything in one table, if there is anything; the same one only once in a log."""
        if not self.counts:
            return
        rows = []
        for kind, count in self.counts.items():
            examples = ', '.join(self.examples[kind]) + ', …' * (0 < len(self.examples[kind]) < count)
            rows.append([str(count), kind.what, kind.outcome, examples, self.causes.get(kind, kind.cause)])
        table = Table('', ['count', 'what', 'outcome', 'examples', 'likely cause'], rows).text(ruled=False)
        say_once(f'{self.path}: {self.num_annotations} annotations of {num_images} images\n{table}')
