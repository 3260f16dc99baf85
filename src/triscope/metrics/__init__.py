"""Metrics that evaluate attribution maps.

    faithfulness    insertion, deletion, ROAD, infidelity, sensitivity-n: does the score change as the map predicts?
    sanity          randomised weights, another class, max-sensitivity: does the map depend on the weights and the
                    class, and is it stable under noise?
    localisation    pointing game, energy in a mask: does the map lie on the object?
    baselines       maps that do not depend on the network: random, a centred Gaussian, edges
    judge           the method `judge`: all of these for many methods, on images or a collection, as a table
                    (`judgement`), with 95 % confidence intervals over images (`intervals`)
    journal         the checkpoint of a judgement

This package depends on methods and heatmaps in general, and on no method by name.
"""
