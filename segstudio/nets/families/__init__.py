"""One module for each network family."""
