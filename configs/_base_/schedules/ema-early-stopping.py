# An average of the weights is validated and kept, and training ends when it no longer gets better.
# Goes into the `_base_` list beside any config. To keep the best weights, add
#   default_hooks = dict(checkpoint=dict(save_best='lvis/segm_AP_old@300', rule='greater'))
custom_hooks = [
    # 3466 iterations until half of the average is new, half an epoch of LVIS.
    dict(type='WeightsEMAHook', momentum=2e-4, gamma=2000),
    dict(type='PatientEarlyStoppingHook', monitor='lvis/segm_AP_old@300', patience=3),
    # A resumed run makes up for a validation that its checkpoint knows nothing of.
    dict(type='ResumeValidationHook'),
    dict(type='APCurveHook'),
]
