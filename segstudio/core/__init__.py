"""Plain Python and numpy: the types every other layer speaks."""
