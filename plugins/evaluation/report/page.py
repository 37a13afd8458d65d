"""Puts the data, the style and the scripts into one page that needs no network."""

from pathlib import Path

import msgspec

from plugins.evaluation.report.data import ReportData

_FOLDER = Path(__file__).parent / 'page'
_SCRIPTS = (
    'basics',
    'state',
    'chart',
    'overview',
    'tail',
    'calibration',
    'curves',
    'examples',
    'table',
    'start',
)
_SECTIONS = (
    (
        'overview',
        'Average precision by protocol',
        'The same detections scored under every protocol, and split by how often a category occurs '
        'in training: rare, common, frequent.',
    ),
    (
        'tail',
        'Precision along the tail',
        'One mark per category. Point at a mark to read it, click it to see its precision over '
        'recall.',
    ),
    (
        'calibration',
        'Calibration of the scores',
        'Detections are sorted into bins by score; a calibrated model is right as often as its '
        'score says. ECE, the expected calibration error, is the mean distance from the diagonal.',
    ),
    (
        'curves',
        'Precision over recall',
        'Precision after the running maximum, at the 101 recall points that AP averages.',
    ),
    (
        'examples',
        'Best and worst categories',
        'What the model was surest of and wrong about, and what it did not find, at IoU 0.5.',
    ),
    (
        'categories',
        'All categories',
        'Click a heading to sort and a name to see its precision over recall. The address of the '
        'page keeps what you choose, so that a view can be shared.',
    ),
)


def render(data: ReportData) -> str:
    """The report as one HTML page.

    Args:
        data: What `gather` returned.

    Returns:
        HTML text with everything inside it: no other file and no network is needed to view it.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined
    )
    # A name such as `</script>` must not end the element that holds the data.
    payload = msgspec.json.encode(data).decode().replace('<', '\\u003c')
    scripts = '\n'.join((_FOLDER / f'{name}.js').read_text('utf-8') for name in _SCRIPTS)
    return environment.get_template('page.html').render(
        title=data.title,
        sections=[(anchor, name) for anchor, name, _ in _SECTIONS],
        leads={anchor: lead for anchor, _, lead in _SECTIONS},
        css=Markup((_FOLDER / 'page.css').read_text('utf-8')),
        js=Markup(scripts),
        payload=Markup(payload),
    )
