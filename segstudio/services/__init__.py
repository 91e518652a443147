"""Use cases, shared by the window, the command line and the Python API. No Qt, no torch."""
