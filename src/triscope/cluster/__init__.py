"""Jobs on a Ray cluster: actors, each with a copy of a network, compute results of batches of items.

settings    the cluster, and the resources of each actor
work        `Work`, the computation, which has no side effects; `Worker`, the actor that runs it
actor_pool  the pool of actors: distributing batches, collecting results, retrying after a failure
running     a job, and statistics of each node

Actors only compute: the process that started the job receives the results and writes them.
"""
