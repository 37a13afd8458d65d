_base_ = 'mmdet::_base_/default_runtime.py'

# The one line that makes every plugin of this repository available to a config.
custom_imports = dict(imports=['plugins'], allow_failed_imports=False)

default_hooks = dict(checkpoint=dict(type='AtomicCheckpointHook', max_keep_ckpts=3))

# Draws a thousand masks without making them images.
visualizer = dict(type='EncodedMaskVisualizer')

# Used by `tools/test.py --tta` together with the data set's `tta_pipeline`. As many detections
# remain as without it.
tta_model = dict(type='MaskTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5)))
