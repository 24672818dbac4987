"""Import the files that the scripts of CodeI/O write (Li et al. 2025, arXiv:2502.07316)."""
