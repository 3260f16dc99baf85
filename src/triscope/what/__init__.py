"""WHAT image would: methods that change pixels until a question's score is high."""
