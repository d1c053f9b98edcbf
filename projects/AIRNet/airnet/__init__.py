"""AIR-Net: appearance and interaction branches (Blythman et al. 2021)."""
