"""Extraction: sources are found, decoded, prepared and encoded, and what comes of them goes into the cache."""
