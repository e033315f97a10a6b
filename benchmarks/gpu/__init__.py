"""Everything that only a GPU can show, in one prepared run: `make gpu`, or `python -m benchmarks.gpu`."""
