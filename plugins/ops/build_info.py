"""What ``mmcv.utils.collect_env`` prints about the extension."""

import torch
import torchvision


def get_compiler_version() -> str:
    """Says that nothing was compiled, and which torchvision does the work."""
    return f'none (torchvision {torchvision.__version__})'


def get_compiling_cuda_version() -> str:
    """CUDA version that torch was built with, 'not available' for a CPU build."""
    return torch.version.cuda or 'not available'
