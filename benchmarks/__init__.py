"""What is measured, against what, and how to repeat it: ``python -m benchmarks``.

A benchmark is a part of this package with ``measure(request) -> result``, ``summary(result)`` and
``section(result)``, listed in :data:`benchmarks.catalogue.BENCHMARKS`. Its result is JSON, and the page in ``docs/``
is made from results alone.
"""
