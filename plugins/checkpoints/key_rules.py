"""How released checkpoints name the tensors of a detector, and how this repository does."""

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from torch import Tensor

from mmdet.models.backbones.swin import swin_converter
from plugins.checkpoints.loading import CheckpointError

# What a rule makes of a tensor, by the match of its name; None leaves it out.
Named = tuple[str, Tensor] | None

_NETWORK = r'(backbone\.(?:cb_modules\.\d+\.)?)'
_SWIN = (
    r'(?:patch_embed\.(?:projection|norm)\.\w+|absolute_pos_embed|norm\d\.\w+|stages\.\d+\.'
    r'(?:blocks\.\d+\.(?:norm[12]|attn\.w_msa|ffn\.layers)|downsample\.(?:norm|reduction))\..+)'
)
_RESNET = r'(?:(?:conv1|bn1|gn1|stem|layer\d)\..+)'
_KNOWN = re.compile(
    rf'{_NETWORK}(?:{_SWIN}|{_RESNET}|model\..+)|backbone\.cb_linears\..+'
    r'|(?:neck|rpn_head|roi_head)\..+'
)


class KeyRule(NamedTuple):
    """A kind of name that is another one here.

    Attributes:
        what: Says in a report what these tensors are.
        pattern: Regular expression for the whole name.
        convert: What becomes of a tensor.
        applies: Says of all names of a checkpoint whether the rule holds for it.
    """

    what: str
    pattern: str
    convert: Callable[[re.Match, Tensor], Named]
    applies: Callable[[Collection[str]], bool] = lambda names: True


def is_known(name: str) -> bool:
    """Say whether a name is one that detectors of mmdet 3 and of this repository have."""
    return _KNOWN.fullmatch(name) is not None


def is_swin(names: Collection[str]) -> bool:
    """Say whether the backbone of a checkpoint is a Swin transformer, composite or not."""
    return any(re.match(rf'{_NETWORK}(?:layers|stages)\.\d+\.blocks\.', name) for name in names)


def is_composite(names: Collection[str]) -> bool:
    """Say whether the backbone of a checkpoint is composite."""
    return any(name.startswith('backbone.cb_modules.') for name in names)


def renamed_to(template: str) -> Callable[[re.Match, Tensor], Named]:
    """Return what gives a tensor another name, as in ``re.Match.expand``."""
    return lambda match, value: (match.expand(template), value)


def left_out(_match: re.Match, _value: Tensor) -> Named:
    """Leave a tensor out."""
    return None


def _from_release(match: re.Match, value: Tensor) -> Named:
    """Rename, and reorder the four parts that patch merging puts together, as mmdet does."""
    try:
        [(name, converted)] = swin_converter({match[2]: value}).items()
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            f'{match[0]} has the shape {tuple(value.shape)}, in which there are no four parts as '
            'patch merging of a Swin has them; download the checkpoint again'
        ) from error
    return match[1] + name.removeprefix('backbone.'), converted


# Every name meets every rule, in this order.
RULES = (
    KeyRule('inside a wrapper', r'module\.(.+)', renamed_to(r'\1')),
    KeyRule('moving averages of mmdet 2', r'ema_.+', left_out),
    KeyRule('masks of attention, which are made anew', r'backbone\..+\.attn_mask', left_out),
    KeyRule(
        'Swin in the layout of its release',
        _NETWORK + r'(layers\..+|patch_embed\.proj\..+)',
        _from_release,
    ),
    KeyRule(
        'connections of two Swins',
        r'(backbone\.cb_linears)\.(\d+\.\d+\.\D+)',
        renamed_to(r'\1.0.\2'),
        is_swin,
    ),
    KeyRule(
        'connections of two ResNets',
        r'(backbone\.cb_linears)\.(\d+\.\d+\.\d+\.\D+)',
        renamed_to(r'\1.0.\2'),
        lambda names: not is_swin(names),
    ),
    KeyRule(
        'norms of a stem that a later ResNet does not have',
        r'backbone\.cb_modules\.[1-9]\d*\.[bg]n1\..+',
        left_out,
    ),
)
