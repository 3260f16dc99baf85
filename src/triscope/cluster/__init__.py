"""Work on a Ray cluster: actors that each hold a copy of a network are handed batches of items and give back results.

settings    which cluster, and what each actor takes of it
work        what is done there: a `Work`, which is pure, and what an actor makes of it
crew        the actors: what each of them was given, what came back, and what is done again when one is lost
running     a job from the first item to the last result, with what happened on each node

Nothing but computing happens there: results come back to the one process that keeps them.
"""
