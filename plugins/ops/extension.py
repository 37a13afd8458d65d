"""The module that Python loads under the name ``mmcv._ext`` (see :func:`plugins.ops.install`).

``mmcv.ops`` checks by ``hasattr`` that each of its 112 entry points exists, so every public name is
answered: with our implementation, or with a function that says what is missing when it is called.
Outputs are, as in the compiled module, buffers of the caller that are filled in place, unless the
function returns something.
"""

from collections.abc import Callable
from typing import NoReturn

from plugins.ops.box_overlaps import bbox_overlaps
from plugins.ops.build_info import get_compiler_version, get_compiling_cuda_version
from plugins.ops.carafe import (
    carafe_backward,
    carafe_forward,
    carafe_naive_backward,
    carafe_naive_forward,
)
from plugins.ops.deform_attention import ms_deform_attn_backward, ms_deform_attn_forward
from plugins.ops.deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
)
from plugins.ops.deform_roi_pool import deform_roi_pool_backward, deform_roi_pool_forward
from plugins.ops.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from plugins.ops.masked_conv import masked_col2im_forward, masked_im2col_forward
from plugins.ops.modulated_deform_conv import (
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from plugins.ops.nms import nms, nms_match, softnms
from plugins.ops.roi_align import roi_align_backward, roi_align_forward
from plugins.ops.roi_pool import roi_pool_backward, roi_pool_forward
from plugins.ops.sync_bn import (
    sync_bn_backward_data,
    sync_bn_backward_param,
    sync_bn_forward_mean,
    sync_bn_forward_output,
    sync_bn_forward_var,
)

__all__ = [
    'bbox_overlaps',
    'carafe_backward',
    'carafe_forward',
    'carafe_naive_backward',
    'carafe_naive_forward',
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'deform_roi_pool_backward',
    'deform_roi_pool_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'masked_col2im_forward',
    'masked_im2col_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'nms_match',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softmax_focal_loss_backward',
    'softmax_focal_loss_forward',
    'softnms',
    'sync_bn_backward_data',
    'sync_bn_backward_param',
    'sync_bn_forward_mean',
    'sync_bn_forward_output',
    'sync_bn_forward_var',
]

__backend__ = 'torchvision'


def __getattr__(name: str) -> Callable[..., NoReturn]:
    """A function that raises when called, for every public name without an implementation."""
    # The import system and inspection tools probe underscored names and expect an honest answer.
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def missing_op(*args: object, **kwargs: object) -> NoReturn:
        raise NotImplementedError(
            f'the mmcv op {name!r} is not among those that plugins.ops provides in place of '
            'the compiled extension; to use it, replace mmcv-lite by a compiled mmcv '
            '(pip uninstall mmcv-lite, then MMCV_WITH_OPS=1 pip install mmcv==2.1.0, '
            'which needs a C++ compiler)'
        )

    missing_op.__name__ = missing_op.__qualname__ = name
    return missing_op
