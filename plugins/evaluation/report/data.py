"""What the page shows, as plain records that become its JSON."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measure:
    """A number that every category has under every run.

    Attributes:
        key: Name in the addresses of the page and in `RunData.columns`.
        label: Short name with the protocol.
        words: The same in a sentence.
        is_share: Lies in [0, 1] and is shown in percent; else a count.
        is_default: Shown in the table from the start.
    """

    key: str
    label: str
    words: str
    is_share: bool = True
    is_default: bool = True


@dataclass(frozen=True)
class ProtocolData:
    """Summary under one protocol: per run the metrics by name; None is not defined."""

    label: str
    values: list[dict[str, float | None]]


@dataclass(frozen=True)
class ReliabilityData:
    """One reliability diagram; see `Reliability`. ``group`` is ``all``, ``r``, ``c`` or ``f``."""

    iou: float
    group: str
    count: list[int]
    score: list[float | None]
    precision: list[float | None]
    ece: float | None


@dataclass(frozen=True)
class Crop:
    """Picture of one false positive or miss.

    Attributes:
        picture: ``data:`` address.
        alt: What the picture shows.
        score: Of the detection, None for a miss.
        words: What is wrong.
        image: Image id.
    """

    picture: str
    alt: str
    score: float | None
    words: str
    image: int


@dataclass(frozen=True)
class CropList:
    """The first of ``total`` examples."""

    crops: list[Crop]
    total: int


@dataclass(frozen=True)
class RunExamples:
    """What one run got wrong in one category."""

    false_positives: CropList
    misses: CropList


@dataclass(frozen=True)
class ExampleList:
    """Categories (as indices) that have something in common."""

    kind: str
    title: str
    categories: list[int]


@dataclass(frozen=True)
class RunData:
    """One run.

    Attributes:
        name: As the reader gave it.
        source: File of the results.
        detections: Number in that file.
        warnings: Sentences of the reader.
        columns: Per measure K values, None where not defined.
        curves: Base64 of uint8 (K, 3, 101): precision over recall at IoU 0.50, 0.75 and the mean
            over all thresholds, in `ReportData.curve_steps` steps; 255 where not defined.
        reliability: Diagrams by IoU and group.
    """

    name: str
    source: str
    detections: int
    warnings: list[str]
    columns: dict[str, list[float | int | None]]
    curves: str
    reliability: list[ReliabilityData]


@dataclass(frozen=True)
class CategoryData:
    """K categories in order of their ids.

    Attributes:
        id, name: Of the categories.
        group: ``r``, ``c``, ``f`` or empty.
        train: Instances in the training split, None where unknown.
        annotations: Annotations of the evaluated set that count.
    """

    id: list[int]
    name: list[str]
    group: list[str]
    train: list[int | None]
    annotations: list[int]


@dataclass(frozen=True)
class ReportData:
    """Everything on the page.

    Attributes:
        title: Heading.
        source_words: One sentence about the ground truth.
        iou_words: What was compared, such as ``mask IoU``.
        counts_words: What categories are placed by along the tail: training instances if known.
        bins_words: Limits of the bins of training instances.
        curve_steps: Value in `RunData.curves` that stands for 1.
        protocols: Summaries.
        measures: Columns of the table; the first one is the main one.
        categories: All categories.
        runs: The runs; others are compared with the first one.
        examples: Lists of categories whose examples are shown.
        gallery: Per category index that a list names, one entry per run.
    """

    title: str
    source_words: str
    iou_words: str
    counts_words: str
    bins_words: str
    curve_steps: int
    protocols: list[ProtocolData]
    measures: list[Measure]
    categories: CategoryData
    runs: list[RunData]
    examples: list[ExampleList] = field(default_factory=list)
    gallery: dict[int, list[RunExamples]] = field(default_factory=dict)
