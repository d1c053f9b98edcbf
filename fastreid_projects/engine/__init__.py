"""The one trainer of all papers, and what surrounds a run."""
