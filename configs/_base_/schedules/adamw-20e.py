# 20 epochs of AdamW, 8 GPUs x 2 images, as Swin transformers are trained: norms and position biases
# do not decay. With automatic mixed precision; `type='OptimWrapper'` is FP32.
_base_ = 'mmdet::_base_/schedules/schedule_20e.py'

optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys=dict(
            absolute_pos_embed=dict(decay_mult=0.0),
            relative_position_bias_table=dict(decay_mult=0.0),
            norm=dict(decay_mult=0.0),
        )
    ),
)
