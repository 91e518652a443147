"""Tools that change the segment map by mouse; each knows only what `base` and `stroke` offer."""
