"""`python -m deepgen_bench`, the same as `deepgen-bench`."""

from deepgen_bench.cli import main

main()
