"""WHAT image would: methods that optimise pixels until an objective's score is high."""
