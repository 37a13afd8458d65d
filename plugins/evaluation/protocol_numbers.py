"""Numbers of all protocols under flat names, and as lines of the log."""

from mmengine.logging import MMLogger


def flatten(iou_type: str, protocols: dict[str, dict]) -> dict[str, float]:
    """Return the numbers of one IoU type under names that say the protocol.

    Args:
        iou_type: ``'bbox'``, ``'segm'`` or ``'boundary'``.
        protocols: What ``evaluate`` gives for it.
    """
    return {
        f'{iou_type}_{name.partition("@")[0]}_{protocol}': value
        for protocol, values in protocols.items()
        if protocol != 'per_category'
        for name, value in values.items()
    }


def log_protocols(iou_type: str, protocols: dict[str, dict], logger: MMLogger) -> None:
    """Log one line per protocol, and one per category and protocol where those were asked for."""
    for protocol, values in protocols.items():
        if protocol == 'per_category':
            continue
        cells = '  '.join(
            f'{name} {100 * value:5.2f}' for name, value in values.items() if name[:2] == 'AP'
        )
        logger.info(f'{iou_type} AP_{protocol} (%): {cells}')
    for category in protocols.get('per_category', {}).values():
        lists = {k: v['AP'] for k, v in category.items() if isinstance(v, dict)}
        for protocol, value in lists.items():
            text = f'{100 * value:.2f}' if value >= 0 else 'no ground truth'
            logger.info(f'{iou_type} AP_{protocol} (%) of {category["name"]}: {text}')
