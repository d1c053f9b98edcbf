"""The claims of the papers as a list of training runs, which run one after the other, with a table for each claim."""
