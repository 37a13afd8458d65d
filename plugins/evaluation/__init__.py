"""Metrics of the LVIS protocols for the runner's validation and test loops."""

from plugins.evaluation.lvis_protocol_metric import LVISProtocolMetric

__all__ = ['LVISProtocolMetric']
