"""Turn scores into probabilities, one category at a time (per-class calibration).

fit     learn maps from results on the training set and store them as JSON
apply   give the results in a file calibrated scores
report  AP_pool, AP_fixed and calibration error before and after, with reliability diagrams
"""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from tools.light import import_light

if TYPE_CHECKING:
    from plugins.evaluation.calibration import (
        CalibrationFile,
        ClassCalibration,
        MatchingOptions,
        Observations,
    )
    from plugins.evaluation.engine import GroundTruth, Results

METHODS = ('histogram', 'bbq-aic', 'bbq-bic', 'beta', 'isotonic', 'platt', 'temperature')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    commands = parser.add_subparsers(dest='command', required=True)

    fit = commands.add_parser('fit', help='learn from results on the training set')
    _add_inputs(fit, 'training')
    fit.add_argument(
        '--rules', choices=('lvis', 'coco'), default='lvis', help='how to match (default: lvis)'
    )
    fit.add_argument('--out', required=True, metavar='FILE', help='where to store the maps (JSON)')
    fit.add_argument(
        '--method',
        nargs='+',
        choices=METHODS,
        default=['platt'],
        metavar='NAME',
        help=f'one or more of {", ".join(METHODS)} (default: platt)',
    )
    fit.add_argument(
        '--iou', choices=('segm', 'bbox'), default='segm', help='what overlaps: masks or boxes'
    )
    fit.add_argument(
        '--threshold', type=float, default=0.75, help='IoU of a match: 0.50, 0.55 ... 0.95'
    )
    fit.add_argument(
        '--dets-per-class', type=int, default=10_000, help='best results per category to learn from'
    )
    fit.add_argument(
        '--fallback',
        choices=('zero', 'keep', 'group'),
        default='zero',
        help='score of categories without a matched training result: 0 (default), unchanged, or '
        "by the map of the category's frequency group",
    )
    fit.add_argument(
        '--count-not-exhaustive',
        action='store_true',
        help='count unmatched results of not exhaustively annotated categories as misses',
    )

    apply = commands.add_parser('apply', help='calibrate the scores in a results file')
    apply.add_argument('calibration', help='file written by fit')
    apply.add_argument('results', help='results file (JSON list, may be .gz)')
    apply.add_argument('--out', required=True, metavar='FILE', help='results file to write')
    apply.add_argument(
        '--method', choices=METHODS, metavar='NAME', help='needed if several are stored'
    )
    apply.add_argument(
        '--leave-ties', action='store_true', help='do not break ties by the original score'
    )

    report = commands.add_parser('report', help='compare before and after')
    report.add_argument('calibration', help='file written by fit')
    _add_inputs(report, 'evaluation')
    report.add_argument('--out-dir', metavar='DIR', help='where to write pictures and report.json')
    report.add_argument(
        '--method', nargs='+', choices=METHODS, metavar='NAME', help='default: all that are stored'
    )
    report.add_argument(
        '--leave-ties', action='store_true', help='do not break ties by the original score'
    )
    return parser.parse_args(argv)


def _add_inputs(parser: argparse.ArgumentParser, split: str) -> None:
    parser.add_argument('gt', help=f'annotations of the {split} set (LVIS or COCO format)')
    parser.add_argument('results', help='results on it (JSON list, may be .gz)')


def main(argv: list[str] | None = None) -> int:
    """Fit, apply or report; returns the exit code."""
    args = parse_args(argv)
    try:
        {'fit': run_fit, 'apply': run_apply, 'report': run_report}[args.command](args)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def run_fit(args: argparse.Namespace) -> None:
    """Match training results, fit every method per category, store."""
    from tqdm import tqdm

    calibration = import_light('evaluation.calibration')
    training = calibration.MatchingOptions(
        args.iou, args.threshold, args.rules, args.dets_per_class, args.count_not_exhaustive
    )
    ground_truth, results = _read(args, training)
    observations = _observe(ground_truth, results, training)
    if not observations.matched.any():
        raise ValueError(
            f'{args.results}: no result matches an annotation of {args.gt} at IoU '
            f'{args.threshold}, so nothing can be learnt'
        )
    group_of = _groups(ground_truth)
    methods = {}
    for name in dict.fromkeys(args.method):
        with tqdm(total=len(observations.score), desc=f'fitting {name}', unit='result') as bar:
            methods[name] = calibration.fit_per_class(
                name, observations, fallback=args.fallback, group_of=group_of, progress=bar.update
            )
    categories = _category_counts(ground_truth, observations)
    stored = calibration.CalibrationFile(methods, training, categories)
    calibration.write_calibration(args.out, stored)
    fitted = len(methods[args.method[0]].models)
    print(
        f'{args.out}: {", ".join(methods)} for {fitted:,} of {len(group_of):,} categories, from '
        f'{len(observations.score):,} results of which {int(observations.matched.sum()):,} match; '
        f'fallback for the other categories: {args.fallback}'
    )


def run_apply(args: argparse.Namespace) -> None:
    """Write a results file with calibrated scores."""
    from tqdm import tqdm

    calibration = import_light('evaluation.calibration')
    stored = calibration.read_calibration(args.calibration)
    models = _choose(stored, [args.method] if args.method else None, args.calibration)
    if len(models) > 1:
        raise ValueError(f'{args.calibration} holds {", ".join(models)}: choose one with --method')
    (model,) = models.values()
    with tqdm(desc='writing', unit='result') as bar:
        count = calibration.rewrite_scores(
            args.results,
            args.out,
            lambda category, score: model(category, score, keep_order=not args.leave_ties),
            bar.update,
        )
    print(f'{args.out}: {count:,} results with scores by {model.method}')


def run_report(args: argparse.Namespace) -> None:
    """Score results before and after each method; print, write, draw."""
    from tqdm import tqdm

    from tools.analysis.calibration_report import draw_reliability, measure, print_report
    from tools.analysis.figures import save_json

    calibration = import_light('evaluation.calibration')
    stored = calibration.read_calibration(args.calibration)
    models = _choose(stored, args.method, args.calibration)
    training = stored.training
    ground_truth, results = _read(args, training)
    group_of = _groups(ground_truth)
    report, diagrams = {}, {}
    for name in tqdm(['uncalibrated', *models], desc='evaluating', unit='method'):
        scored = results
        if name in models:
            scored = _calibrated(models[name], ground_truth, results, not args.leave_ties)
        observations = _observe(ground_truth, scored, training)
        report[name] = _evaluate(ground_truth, scored, training)
        report[name]['ECE'], diagrams[name] = measure(observations, group_of)
    print_report(report, training)
    if args.out_dir:
        folder = Path(args.out_dir)
        content = {'training': asdict(training), 'methods': report}
        print(f'numbers: {save_json(content, folder / "report.json")}')
        for name in models:
            drawn = draw_reliability(name, diagrams['uncalibrated'], diagrams[name], folder)
            print(f'picture: {drawn}')


def _read(args: argparse.Namespace, training: 'MatchingOptions') -> tuple['GroundTruth', 'Results']:
    engine = import_light('evaluation.engine')
    ground_truth = engine.read_ground_truth(
        args.gt, masks=training.iou_type == 'segm', federated=training.rules == 'lvis'
    )
    results = engine.read_results(args.results, ground_truth, iou_type=training.iou_type)
    for warning in results.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    return ground_truth, results


def _observe(
    ground_truth: 'GroundTruth', results: 'Results', training: 'MatchingOptions'
) -> 'Observations':
    """Observations on whichever set, by the options of the fit."""
    engine = import_light('evaluation.engine')
    rules = {'lvis': engine.LVIS, 'coco': engine.COCO}[training.rules]
    matches = engine.match(ground_truth, results, iou_type=training.iou_type, rules=rules)
    return import_light('evaluation.calibration').observe(matches, ground_truth, training)


def _evaluate(ground_truth: 'GroundTruth', results: 'Results', training: 'MatchingOptions') -> dict:
    """AP_pool and AP_fixed by r/c/f, each in [0, 1]."""
    engine = import_light('evaluation.engine')
    request = engine.Request(
        iou_types=(training.iou_type,),
        max_dets=(),
        dets_per_class=(10_000,),
        pool=True,
        rules={'lvis': engine.LVIS, 'coco': engine.COCO}[training.rules],
    )
    measured = engine.evaluate(ground_truth, results, request)[training.iou_type]
    return {name: _overall(measured[f'{name}@10000']) for name in ('pool', 'fixed')}


def _overall(values: dict) -> dict:
    return {key: values[key] for key in ('AP', 'APr', 'APc', 'APf')}


def _calibrated(
    model: 'ClassCalibration', ground_truth: 'GroundTruth', results: 'Results', keep_order: bool
) -> 'Results':
    """The same results with calibrated scores; those of unknown categories get 0."""
    known = np.append(ground_truth.category_ids, -1)  # index -1: a category the file lacks
    score = model(known[results.category], results.score, keep_order=keep_order)
    return replace(results, score=score)


def _groups(ground_truth: 'GroundTruth') -> dict[int, str]:
    letters = [chr(code) if code else '' for code in ground_truth.frequency]
    return dict(zip(ground_truth.category_ids.tolist(), letters, strict=True))


def _category_counts(ground_truth: 'GroundTruth', observations: 'Observations') -> dict[int, dict]:
    names = dict(zip(ground_truth.category_ids.tolist(), ground_truth.names, strict=True))
    return {
        category: {
            'name': names[category],
            'results': len(scores),
            'matched': int(matched.sum()),
        }
        for category, scores, matched in observations.by_category()
    }


def _choose(
    stored: 'CalibrationFile', wanted: list[str] | None, path: str
) -> dict[str, 'ClassCalibration']:
    missing = [name for name in wanted or () if name not in stored.methods]
    if missing:
        raise ValueError(
            f'{path} holds no {missing[0]}, only {", ".join(stored.methods)}: fit it first'
        )
    return {name: stored.methods[name] for name in wanted or stored.methods}


if __name__ == '__main__':
    sys.exit(main())
