"""WHICH images: collections, stores, and searches in them: neighbours, top images, top patches."""
