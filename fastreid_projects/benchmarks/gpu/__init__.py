"""Checks that need a GPU: tests, benchmarks and short runs, in parts with a time limit each."""
