"""One module per topic, each with ``ITEMS``, a tuple of :class:`tools.benchmarks.item.Benchmark`.

Modules are imported to be listed: they load what they measure (torch, mmdet, data) in ``setup``.
"""
