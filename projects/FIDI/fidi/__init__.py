"""FIDI: fine-grained difference-aware pairwise loss (Yan et al., IEEE Transactions on Multimedia 2022)."""
