"""A page to look at results with: numbers, curves and mistakes of one or several runs."""

from plugins.evaluation.report.data import ReportData
from plugins.evaluation.report.gather import Run, gather
from plugins.evaluation.report.image_files import ImageFiles
from plugins.evaluation.report.page import render
from plugins.evaluation.report.scoring import Settings

__all__ = ['ImageFiles', 'ReportData', 'Run', 'Settings', 'gather', 'render']
