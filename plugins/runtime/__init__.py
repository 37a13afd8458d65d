"""What happens between the command line and mmengine's runner: settle the config, check, launch."""

from plugins.runtime.config_keys import check_top_level_keys
from plugins.runtime.distributed import prepare_launch
from plugins.runtime.experiment import build_runner, load_experiment
from plugins.runtime.reporting import report_user_errors
from plugins.runtime.test_options import dump_predictions, limit_detections
from plugins.runtime.train_options import scale_learning_rate, use_mixed_precision

__all__ = [
    'build_runner',
    'check_top_level_keys',
    'dump_predictions',
    'limit_detections',
    'load_experiment',
    'prepare_launch',
    'report_user_errors',
    'scale_learning_rate',
    'use_mixed_precision',
]
