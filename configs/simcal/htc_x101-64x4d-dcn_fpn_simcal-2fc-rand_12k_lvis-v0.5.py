_base_ = './htc_x101-64x4d-dcn_fpn_simcal_12k_lvis-v0.5.py'

model = dict(roi_head=dict(bbox_head=dict(second_classifier=dict(hidden_fcs=1, init='random'))))
