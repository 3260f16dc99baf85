"""Numbers that say whether an attribution map is to be believed.

    faithfulness    insertion, deletion, ROAD, infidelity, sensitivity-n: does the score follow what the map says?
    sanity          randomised weights, another class: does the map depend on what it claims to explain?
    robustness      max-sensitivity: does the map stay when the image hardly changes?
    localisation    pointing game, energy in a mask: does it lie on the object?
    baselines       a random map, a centred Gaussian, edges: what a map that knows nothing of the network reaches
    judge           all of these for many methods and images, or a whole collection, as a table (`judgement`), with
                    95 % intervals over images (`intervals`)
    journal         what a job that was killed goes on from

It knows methods and heatmaps, and no method by name.
"""
