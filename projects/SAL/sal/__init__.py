"""Self-attention learning (SAL)."""
