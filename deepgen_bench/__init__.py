"""Reproducible benchmark of deep generative models."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_results"]


def __getattr__(name: str) -> Any:
    # pandas is imported only by those who load results
    if name == "load_results":
        from deepgen_bench.storage.results import load_results

        return load_results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
