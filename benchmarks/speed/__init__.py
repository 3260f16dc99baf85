"""How much processor time the methods take, beside the bare PyTorch loop and beside Captum."""
