"""The method `judge`: evaluate the maps of several attribution methods on images or on a collection.

The maps are compared with baselines that do not depend on the network (random, a centred Gaussian, edges). Over several
images, each number is a mean with a 95 % confidence interval, by Student's t.

**When it misleads.** No single number decides: `triscope.metrics.faithfulness` and `sanity` describe when each of them
misleads. A map that has the best insertion but hardly changes with the class explains the image, not the class.

**References.** Those of the numbers, in `triscope.metrics`.
"""

from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from triscope._version import __version__
from triscope.errors import OptionError
from triscope.methods import Checkpoint, ImageInput, NetworkArg, ObjectiveArg, Range, Seed, Step, method
from triscope.metrics.journal import Journal
from triscope.metrics.judgement import USUAL, Judgement, Number
from triscope.metrics.judging import Judging, Photo, Photos
from triscope.metrics.labelled import LabelledPhotos
from triscope.network import Fit, ImageBatch, Network
from triscope.objectives.base import Objective
from triscope.objectives.units import TOP_CLASS, Logit, TopClass
from triscope.where.by_name import heatmap_methods, map_of
from triscope.where.target import Target
from triscope.which.collection import Collection, CollectionInput

Given = Annotated[
    ImageBatch | None, ImageInput(many=True, together=True, argument=True, help="an image: a file, or - for stdin")
]
CollectionArg = Annotated[
    Collection | None, CollectionInput(help="judge on all images of a folder, a pattern or a CSV file")
]
LabelsArg = Annotated[
    Collection | None,
    CollectionInput(word="CSV", help="CSV file that gives each image's class, box (left, top, right, bottom) or mask"),
]


@method("where")
def judge(
    network: NetworkArg,
    images: Given = None,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    collection: CollectionArg = None,
    labels: LabelsArg = None,
    methods: Sequence[str] | None = None,
    numbers: Sequence[Number] = USUAL,
    baselines: bool = True,
    steps: Annotated[int, Range(2, 1000)] = 28,
    fit: Fit = "crop",
    seed: Seed = 0,
    checkpoint: Checkpoint = None,
) -> Generator[Step[Judgement]]:
    """Measure how far the maps of several methods can be trusted: faithfulness, sensitivity, localisation, sanity
    checks.

    Judge on single images, or on a collection of any size, read image by image. For a collection, a CSV file can give
    each image's class, which is then explained, and the object's box or mask, for the numbers pointing and energy.

    Values (images, maps, numbers). A step is one map of one image; stopping early keeps the numbers so far. A method
    that does not work on the network is left out with a note, and so is an image that cannot be read. Raises
    OptionError for an unknown method, and StoreError for a missing collection.

    methods      the methods to judge  [default: eight common ones]
    numbers      insertion, deletion, road, infidelity, sensitivity_n, class, randomisation, max_sensitivity, pointing,
                 energy
    baselines    also judge three baselines: a random map, a centred Gaussian and the edges of the image
    steps        number of steps of an insertion or deletion curve
    fit          how the image is fitted to the network: crop (resized and cropped as in training), pad (the whole image
                 on grey), keep (its own size)
    """
    verbs = heatmap_methods(methods)
    if (images is None) is (collection is None):
        raise OptionError("Judge some images, or a collection: name one of the two (--collection DIR).")
    if labels is not None and collection is None:
        raise OptionError("labels describe a collection; name one (--collection DIR).")
    if collection is not None:
        photos = collected(network, LabelledPhotos(network, collection, labels, fit), objective)
    else:
        assert images is not None
        photos = _given(network, images, objective)
    if not photos.masked and any(number in ("pointing", "energy") for number in numbers):
        raise OptionError(
            "pointing and energy need the position of the object: judge a collection with a CSV file that has a box "
            "(left, top, right, bottom) or a mask for each photo (--collection DIR --labels CSV)."
        )
    job = {"network": str(network.sha256), "steps": str(steps), "seed": str(seed), "version": __version__}
    journal = Journal(None if checkpoint is None else Path(checkpoint), job)
    explainers = {name: partial(map_of, verb) for name, verb in verbs.items()}
    judging = Judging(network, explainers, numbers, baselines=baselines, steps=steps, seed=seed, journal=journal)
    yield from judging.run(photos)


def collected(network: Network, photos: LabelledPhotos, objective: Objective = TOP_CLASS) -> Photos:
    """The photos of a collection. Each is explained for its labelled class, unless another objective is given."""

    def each() -> Iterator[Photo | None]:
        for one in photos:
            if one is None:
                yield None
                continue
            own = one.label if one.label is not None and isinstance(objective, TopClass) else objective
            target = Target.of(network, one.image, own)
            empty = one.image.images[:, :, :0, :0]
            yield Photo(one.name, one.image, target.objective.of(0), target.scores, one.mask, empty)

    return Photos(len(photos), each(), _joined, lambda: photos.notes, photos.has_masks)


def _given(network: Network, images: ImageBatch, objective: Objective) -> Photos:
    """The images of a batch, one by one."""
    target = Target.of(network, images, objective)

    def each() -> Iterator[Photo]:
        for place in range(len(images)):
            one = slice(place, place + 1)
            image = ImageBatch(images.images[one], images.boxes[one], images.sources[one])
            yield Photo(
                images.sources[place].name,
                image,
                target.objective.of(place),
                target.scores[one],
                mask=None,
                kept=image.images,
            )

    return Photos(len(images), each(), lambda known: _first(target.objective, len(known)))


def _joined(objectives: Sequence[Objective]) -> Objective:
    """One objective for a batch, from those of its images: one class per image; the first where they are no classes."""
    first = objectives[0]
    if all(isinstance(one, Logit) for one in objectives):
        classes = [one.classes for one in objectives if isinstance(one, Logit) and not isinstance(one.classes, tuple)]
        assert isinstance(first, Logit)
        return first if len(set(classes)) == 1 else Logit(classes, first.form, first.task)
    return first


def _first(objective: Objective, count: int) -> Objective:
    """The objective of the first `count` images."""
    if isinstance(objective, Logit) and isinstance(objective.classes, tuple):
        return Logit(objective.classes[:count], objective.form, objective.task)
    return objective
