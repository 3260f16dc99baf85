"""What a network answers, beside what images are called, or beside what another network answers."""
