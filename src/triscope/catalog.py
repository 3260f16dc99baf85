"""The catalogue: all methods, tools and public names, and their modules. Data only: nothing is imported.

The public API, the table of methods, the overview of the command line, the documentation's index and pages are made
from it. A method's `question` is where, what, which or view; `line` is a short description.
"""

from dataclasses import dataclass

#: The groups of methods and commands, in order, with their headings.
QUESTIONS = {
    "where": "Where in this image",
    "what": "What image would",
    "which": "Which images do",
    "view": "What the network is and sees",
    "tool": "Everything at once, and tools",
}


@dataclass(frozen=True)
class Entry:
    """A method: the function `name` in `module`."""

    name: str
    module: str
    question: str
    line: str
    #: The module of `triscope.cli` with its command; `build` makes commands from the method's declarations.
    cli: str = "build"

    @property
    def command(self) -> str:
        """Its name on the command line."""
        return self.name.replace("_", "-")


@dataclass(frozen=True)
class Tool:
    """A command that is not a method: the `click.Command` in COMMANDS of `triscope.cli.MODULE`."""

    command: str
    module: str
    question: str
    line: str


METHODS = (
    Entry("saliency", "triscope.where.saliency", "where", "how much each pixel matters to a class or an inner unit"),
    Entry("input_x_gradient", "triscope.where.saliency", "where", "what each pixel adds to the score"),
    Entry(
        "guided_backprop", "triscope.where.modified_backprop", "where", "the pattern in the image that activates a unit"
    ),
    Entry("deconvnet", "triscope.where.modified_backprop", "where", "a unit's activation projected back to the pixels"),
    Entry("relevance", "triscope.where.relevance", "where", "the score passed back layer by layer to the pixels"),
    Entry("deep_lift", "triscope.where.deep_lift", "where", "what each pixel adds, by differences from a baseline"),
    Entry("grad_cam", "triscope.where.cam", "where", "which positions of a late layer raise the score; seven variants"),
    Entry("guided_grad_cam", "triscope.where.cam", "where", "guided backprop multiplied by the Grad-CAM map"),
    Entry(
        "integrated_gradients",
        "triscope.where.path_averages",
        "where",
        "gradients averaged on the path from a baseline image",
    ),
    Entry(
        "expected_gradients",
        "triscope.where.path_averages",
        "where",
        "integrated gradients averaged over many baseline images",
    ),
    Entry("smooth_grad", "triscope.where.smoothing", "where", "the gradient averaged over noisy copies of the image"),
    Entry("occlusion", "triscope.where.occlusion", "where", "how much the score falls when a window is hidden"),
    Entry(
        "rise", "triscope.where.rise", "where", "the mean of random masks, weighted by the score of the masked image"
    ),
    Entry("shapley", "triscope.where.shapley", "where", "what each superpixel adds, over all orders of appearance"),
    Entry("lime", "triscope.where.lime", "where", "a linear model of the score in terms of superpixels"),
    Entry(
        "attention_rollout",
        "triscope.where.attention",
        "where",
        "how much of each patch reaches the output through attention",
    ),
    Entry("gradient_attention", "triscope.where.attention", "where", "the attention that raises the score"),
    Entry(
        "judge", "triscope.metrics.judge", "where", "numbers that say whether to believe the maps of several methods"
    ),
    Entry("compare", "triscope.where.comparison", "where", "several methods, or several units, in one figure"),
    Entry("difference", "triscope.where.comparison", "where", "where the maps of two networks or checkpoints differ"),
    Entry("segment", "triscope.where.segment", "where", "the object of a class, cut out of the photo"),
    Entry("ascend", "triscope.what.ascend", "what", "the image that activates a class or an inner unit most"),
    Entry("units", "triscope.what.units", "what", "an image for every channel of a layer, many in one batch", "units"),
    Entry("regularisers", "triscope.what.compare", "what", "the same unit under every regulariser, side by side"),
    Entry("dream", "triscope.what.dream", "what", "DeepDream: a photo changed to increase a layer's activations"),
    Entry("invert", "triscope.what.invert", "what", "an image reconstructed from a layer's activations"),
    Entry("texture", "triscope.what.style.texture", "what", "a new image with the texture of an example"),
    Entry("stylize", "triscope.what.style.stylize", "what", "the content of one image in the style of others"),
    Entry("fool", "triscope.what.fool", "what", "a photo changed invisibly, and classified as something else"),
    Entry(
        "neighbors", "triscope.which.search.neighbors", "which", "the images of a store nearest to one in feature space"
    ),
    Entry(
        "duplicates",
        "triscope.which.search.duplicates",
        "which",
        "groups of images of a store that are nearly the same",
    ),
    Entry("top", "triscope.which.search.top", "which", "the images of a store that activate a unit most"),
    Entry(
        "patches", "triscope.which.search.patches", "which", "the image patches of a store that activate a unit most"
    ),
    Entry(
        "selection",
        "triscope.which.search.selection",
        "which",
        "the mean image of some images of a store, and the units that distinguish them",
    ),
    Entry("pca", "triscope.which.maps.pca", "which", "the images of a store on their first two principal components"),
    Entry(
        "tsne", "triscope.which.maps.tsne", "which", "the images of a store on a map with similar ones close together"
    ),
    Entry(
        "confusion",
        "triscope.which.confusion.confusion",
        "which",
        "the confusion matrix of a store: labels, predicted classes, and the images behind each cell",
    ),
    Entry(
        "changes",
        "triscope.which.confusion.changes",
        "which",
        "the images that two networks, each with its store, classify differently",
    ),
    Entry("filters", "triscope.views", "view", "the filters of the first layer, or of another, as images"),
    Entry("activations", "triscope.views", "view", "the activation maps of a layer"),
    Entry(
        "attention_maps", "triscope.where.attention_by_head", "view", "what a token attends to, in each head of a layer"
    ),
    Entry("predict", "triscope.views", "view", "the most likely classes of an image"),
)

TOOLS = (
    Tool("index", "index", "which", "compute and store a network's features for every image in a folder"),
    Tool("check", "tools", "which", "compare a store's files with their checksums"),
    Tool("layers", "tools", "view", "the layers: type, output, parameters, receptive field"),
    Tool("app", "app", "tool", "a live page: every method on your network and photos"),
    Tool("report", "tools", "tool", "a report on one image, as one HTML file"),
    Tool("redo", "tools", "tool", "compute a saved result again from the recipe in its file"),
    Tool("doctor", "tools", "tool", "versions, devices, precision, where weights are stored"),
    Tool("completion", "completion", "tool", "shell completion of commands and options"),
)

#: The public names other than methods, by module.
NAMES = {
    "triscope.cluster.settings": ("Cluster",),
    "triscope.errors": ("TriscopeError", "TriscopeWarning"),
    "triscope.images": ("read_image",),
    "triscope.methods": ("Step",),
    "triscope.network": ("Network", "load"),
    "triscope.objectives.base": ("Need", "Objective"),
    "triscope.objectives.detection": ("Box", "detections"),
    "triscope.objectives.directions": ("Direction",),
    "triscope.objectives.distances": ("FeatureDistance",),
    "triscope.objectives.parsing": ("unit",),
    "triscope.objectives.priors": ("PNorm", "TotalVariation"),
    "triscope.objectives.segmentation": ("Pixels",),
    "triscope.objectives.similarity": ("Similarity",),
    "triscope.objectives.statistics": ("CovarianceDistance", "GramDistance", "WassersteinDistance"),
    "triscope.objectives.tokens": ("Token",),
    "triscope.objectives.units": ("Channel", "Energy", "Logit", "Neuron", "TopClass"),
    "triscope.redoing": ("redo",),
    "triscope.reporting": ("report",),
    "triscope.results": ("Grid", "Heatmap", "Picture", "Ranking", "Recipe", "Result"),
    "triscope.unit_folder": ("UnitFolder",),
    "triscope.watching": ("watch",),
    "triscope.web": ("app",),
    "triscope.web.frozen.export": ("export_app",),
    "triscope.what.dream": ("DreamViews",),
    "triscope.what.invert": ("InversionPreset",),
    "triscope.what.optimisation.regularisers": ("Regulariser",),
    "triscope.what.picture": ("SynthesisedImage",),
    "triscope.what.style.options": ("StyleLoss", "Synthesis", "TextureLoss"),
    "triscope.where.gradient": ("gradient",),
    "triscope.where.path_averages": ("Quadrature",),
    "triscope.where.smoothing": ("smooth",),
    "triscope.which.collection": ("Collection",),
    "triscope.which.confusion.changes": ("Changes",),
    "triscope.which.confusion.matrix": ("Confusion",),
    "triscope.which.maps.map": ("Map",),
    "triscope.which.search.gallery": ("Gallery",),
    "triscope.which.search.many": ("nearest",),
    "triscope.which.store": ("Store",),
}

#: Deprecated names of 0.1, which work with a warning until the version after next, and their new names.
RENAMED = {"Imagined": "SynthesisedImage"}


def homes() -> dict[str, str]:
    """The module of every public name, sorted by name ignoring case, capitals first in a tie."""
    found = {name: module for module, names in NAMES.items() for name in names}
    found |= {entry.name: entry.module for entry in METHODS}
    return dict(sorted(found.items(), key=lambda item: (item[0].casefold(), item[0])))
