"""Label formats of other programs: importers and exporters over the plain records of `base`."""
