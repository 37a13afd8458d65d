# 12 epochs of SGD, 8 GPUs x 2 images; `--auto-scale-lr` adapts the rate to other batch sizes.
_base_ = 'mmdet::_base_/schedules/schedule_1x.py'
