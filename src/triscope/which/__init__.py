"""WHICH images: collections, stores, and what is asked of them: neighbours, top images, top patches."""
