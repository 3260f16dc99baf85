"""Where in this image: which pixels a unit's score depends on."""
