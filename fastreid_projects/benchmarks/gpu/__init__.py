"""What has to be seen on a GPU: tests, benchmarks and short runs, in parts that end by themselves."""
