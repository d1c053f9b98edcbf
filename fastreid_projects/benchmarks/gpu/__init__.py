"""What has to be seen on a GPU: tests, benchmarks and short trainings, in parts that end by themselves."""
