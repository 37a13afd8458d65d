"""Which categories are worth showing: the worst, the best and those that changed most."""

import numpy as np

from plugins.evaluation.report.data import ExampleList


def choose_examples(
    precision: np.ndarray, annotations: np.ndarray, names: list[str], most: int
) -> list[ExampleList]:
    """Lists of categories, each at most once per list.

    Among equal categories those with more annotations come first, because they say more; then
    those with the smaller id.

    Args:
        precision: float64 (R, K), AP per run and category, NaN where not defined.
        annotations: int (K,), annotations that count.
        names: R names of runs; the first one decides on worst and best.
        most: Length of each list.

    Returns:
        The lists ``worst`` and ``best`` and, per further run k, ``gain<k>`` and ``loss<k>``;
        without those that would be empty.
    """
    first = precision[0]
    lists = [
        ExampleList('worst', 'Worst categories', _lowest(first, annotations, most)),
        ExampleList('best', 'Best categories', _lowest(-first, annotations, most)),
    ]
    for run in range(1, len(names)):
        change = precision[run] - first
        gains = _lowest(np.where(change > 0, -change, np.nan), annotations, most)
        losses = _lowest(np.where(change < 0, change, np.nan), annotations, most)
        pair = f'{names[run]} over {names[0]}'
        lists.append(ExampleList(f'gain{run}', f'Largest gains of {pair}', gains))
        lists.append(ExampleList(f'loss{run}', f'Largest losses of {pair}', losses))
    return [found for found in lists if found.categories]


def _lowest(values: np.ndarray, annotations: np.ndarray, most: int) -> list[int]:
    order = np.lexsort((-annotations, values))
    return [int(k) for k in order if not np.isnan(values[k])][:most]
