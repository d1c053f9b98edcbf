"""MPN: multi-task part-aware network (Ding et al., TPAMI 2020)."""
