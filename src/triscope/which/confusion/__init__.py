"""Predicted classes compared with labels, or with the predictions of another network."""
