"""CPU time of the methods, compared with a plain PyTorch loop and with Captum."""
