# The public API of triscope, for type checkers. Written by `make derived`; do not edit.

from collections.abc import Iterator, Sequence
from typing import Literal

from triscope._version import __version__ as __version__
from triscope.cluster.settings import Cluster as Cluster
from triscope.errors import TriscopeError as TriscopeError
from triscope.errors import TriscopeWarning as TriscopeWarning
from triscope.images import read_image as read_image
from triscope.methods import Method as _Method
from triscope.methods import Step as Step
from triscope.metrics.judgement import Judgement as _Judgement
from triscope.network import Fit as _Fit
from triscope.network import Images as _Images
from triscope.network import Network as Network
from triscope.network import load as load
from triscope.objectives.base import Need as Need
from triscope.objectives.base import Objective as Objective
from triscope.objectives.detection import Box as Box
from triscope.objectives.detection import detections as detections
from triscope.objectives.directions import Direction as Direction
from triscope.objectives.distances import FeatureDistance as FeatureDistance
from triscope.objectives.parsing import ObjectiveLike as _ObjectiveLike
from triscope.objectives.parsing import unit as unit
from triscope.objectives.priors import PNorm as PNorm
from triscope.objectives.priors import TotalVariation as TotalVariation
from triscope.objectives.segmentation import Pixels as Pixels
from triscope.objectives.similarity import Similarity as Similarity
from triscope.objectives.statistics import CovarianceDistance as CovarianceDistance
from triscope.objectives.statistics import GramDistance as GramDistance
from triscope.objectives.statistics import WassersteinDistance as WassersteinDistance
from triscope.objectives.tokens import Token as Token
from triscope.objectives.units import Channel as Channel
from triscope.objectives.units import Energy as Energy
from triscope.objectives.units import Logit as Logit
from triscope.objectives.units import Neuron as Neuron
from triscope.objectives.units import TopClass as TopClass
from triscope.redoing import redo as redo
from triscope.reporting import report as report
from triscope.results import Grid as Grid
from triscope.results import Heatmap as Heatmap
from triscope.results import Picture as Picture
from triscope.results import Ranking as Ranking
from triscope.results import Recipe as Recipe
from triscope.results import Result as Result
from triscope.unit_folder import UnitFolder as UnitFolder
from triscope.watching import watch as watch
from triscope.web import app as app
from triscope.web.frozen.export import export_app as export_app
from triscope.what.compare import Comparison as _Comparison
from triscope.what.dream import DreamViews as DreamViews
from triscope.what.fool import Fooled as _Fooled
from triscope.what.invert import Inversion as _Inversion
from triscope.what.invert import InversionPreset as InversionPreset
from triscope.what.optimisation.regularisers import Regulariser as Regulariser
from triscope.what.picture import SynthesisedImage as SynthesisedImage
from triscope.what.style.coarse_to_fine import StyleResult as _StyleResult
from triscope.what.style.options import StyleLoss as StyleLoss
from triscope.what.style.options import Synthesis as Synthesis
from triscope.what.style.options import TextureLoss as TextureLoss
from triscope.what.units import UnitPictures as _UnitPictures
from triscope.where.comparison import HeatmapTable as _HeatmapTable
from triscope.where.gradient import gradient as gradient
from triscope.where.path_averages import PathHeatmap as _PathHeatmap
from triscope.where.path_averages import Quadrature as Quadrature
from triscope.where.segment import Segmentation as _Segmentation
from triscope.where.shapley import ShapleyHeatmap as _ShapleyHeatmap
from triscope.where.smoothing import smooth as smooth
from triscope.where.superpixels import SegmentHeatmap as _SegmentHeatmap
from triscope.which.collection import Collection as Collection
from triscope.which.confusion.changes import Changes as Changes
from triscope.which.confusion.matrix import Confusion as Confusion
from triscope.which.maps.map import Map as Map
from triscope.which.search.gallery import Gallery as Gallery
from triscope.which.search.many import nearest as nearest
from triscope.which.search.neighbors import Query as _Query
from triscope.which.search.selection import Selected as _Selected
from triscope.which.store import Store as Store

class _Saliency(_Method[Heatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        channels: Literal["max", "sum", "signed"] = ...,
        fit: _Fit = ...,
    ) -> Heatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        channels: Literal["max", "sum", "signed"] = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Heatmap]]: ...

saliency: _Saliency

class _InputXGradient(_Method[Heatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        channels: Literal["sum", "keep"] = ...,
        fit: _Fit = ...,
    ) -> Heatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        channels: Literal["sum", "keep"] = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Heatmap]]: ...

input_x_gradient: _InputXGradient

class _GuidedBackprop(_Method[Heatmap]):
    def __call__(
        self, network: Network, images: _Images, objective: _ObjectiveLike | None = ..., *, fit: _Fit = ...
    ) -> Heatmap: ...
    def steps(
        self, network: Network, images: _Images, objective: _ObjectiveLike | None = ..., *, fit: _Fit = ...
    ) -> Iterator[Step[Heatmap]]: ...

guided_backprop: _GuidedBackprop

class _Deconvnet(_Method[Heatmap]):
    def __call__(
        self, network: Network, images: _Images, objective: _ObjectiveLike | None = ..., *, fit: _Fit = ...
    ) -> Heatmap: ...
    def steps(
        self, network: Network, images: _Images, objective: _ObjectiveLike | None = ..., *, fit: _Fit = ...
    ) -> Iterator[Step[Heatmap]]: ...

deconvnet: _Deconvnet

class _Relevance(_Method[Heatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        composite: Literal[
            "epsilon-plus-flat",
            "epsilon-plus",
            "epsilon-alpha2-beta1-flat",
            "epsilon-alpha2-beta1",
            "epsilon-gamma-box",
            "epsilon",
            "gamma",
        ] = ...,
        first: Literal["same", "flat", "w-square", "z-box"] | None = ...,
        epsilon: float = ...,
        gamma: float = ...,
        channels: Literal["sum", "keep"] = ...,
        fit: _Fit = ...,
    ) -> Heatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        composite: Literal[
            "epsilon-plus-flat",
            "epsilon-plus",
            "epsilon-alpha2-beta1-flat",
            "epsilon-alpha2-beta1",
            "epsilon-gamma-box",
            "epsilon",
            "gamma",
        ] = ...,
        first: Literal["same", "flat", "w-square", "z-box"] | None = ...,
        epsilon: float = ...,
        gamma: float = ...,
        channels: Literal["sum", "keep"] = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Heatmap]]: ...

relevance: _Relevance

class _DeepLift(_Method[_PathHeatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        baseline: _Images | None = ...,
        baselines: int = ...,
        channels: Literal["sum", "keep"] = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> _PathHeatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        baseline: _Images | None = ...,
        baselines: int = ...,
        channels: Literal["sum", "keep"] = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[_PathHeatmap]]: ...

deep_lift: _DeepLift

class _GradCam(_Method[Heatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        layer: str | Sequence[str] | None = ...,
        weights: Literal["gradient", "gradient++", "hires", "layer", "ablation", "score", "eigen"] = ...,
        relu: bool = ...,
        batch_size: int = ...,
        fit: _Fit = ...,
    ) -> Heatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        layer: str | Sequence[str] | None = ...,
        weights: Literal["gradient", "gradient++", "hires", "layer", "ablation", "score", "eigen"] = ...,
        relu: bool = ...,
        batch_size: int = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Heatmap]]: ...

grad_cam: _GradCam

class _GuidedGradCam(_Method[Heatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        layer: str | Sequence[str] | None = ...,
        fit: _Fit = ...,
    ) -> Heatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        layer: str | Sequence[str] | None = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Heatmap]]: ...

guided_grad_cam: _GuidedGradCam

class _IntegratedGradients(_Method[_PathHeatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        baseline: _Images | None = ...,
        baselines: int = ...,
        quadrature: Quadrature = ...,
        channels: Literal["sum", "keep"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        steps: int | Literal["auto"] = ...,
        tolerance: float = ...,
        rule: Literal["gauss-legendre", "trapezoid"] = ...,
        fit: _Fit = ...,
    ) -> _PathHeatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        baseline: _Images | None = ...,
        baselines: int = ...,
        quadrature: Quadrature = ...,
        channels: Literal["sum", "keep"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        steps: int | Literal["auto"] = ...,
        tolerance: float = ...,
        rule: Literal["gauss-legendre", "trapezoid"] = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[_PathHeatmap]]: ...

integrated_gradients: _IntegratedGradients

class _ExpectedGradients(_Method[_PathHeatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        references: _Images | None = ...,
        samples: int = ...,
        channels: Literal["sum", "keep"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> _PathHeatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        references: _Images | None = ...,
        samples: int = ...,
        channels: Literal["sum", "keep"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[_PathHeatmap]]: ...

expected_gradients: _ExpectedGradients

class _SmoothGrad(_Method[Heatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        samples: int = ...,
        noise: float = ...,
        statistic: Literal["mean", "squared", "variance"] = ...,
        channels: Literal["max", "sum", "signed"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> Heatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        samples: int = ...,
        noise: float = ...,
        statistic: Literal["mean", "squared", "variance"] = ...,
        channels: Literal["max", "sum", "signed"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Heatmap]]: ...

smooth_grad: _SmoothGrad

class _Occlusion(_Method[Heatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        window: int | None = ...,
        stride: int | None = ...,
        fill: Literal["grey", "black", "mean", "blur", "inpainted"] = ...,
        batch_size: int = ...,
        fit: _Fit = ...,
    ) -> Heatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        window: int | None = ...,
        stride: int | None = ...,
        fill: Literal["grey", "black", "mean", "blur", "inpainted"] = ...,
        batch_size: int = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Heatmap]]: ...

occlusion: _Occlusion

class _Rise(_Method[Heatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        masks: int = ...,
        cells: int = ...,
        visible: float = ...,
        fill: Literal["grey", "black", "mean", "blur"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> Heatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        masks: int = ...,
        cells: int = ...,
        visible: float = ...,
        fill: Literal["grey", "black", "mean", "blur"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Heatmap]]: ...

rise: _Rise

class _Shapley(_Method[_ShapleyHeatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        orders: int = ...,
        segments: int = ...,
        division: Literal["slic", "grid"] = ...,
        fill: Literal["grey", "black", "mean", "blur", "inpainted"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> _ShapleyHeatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        orders: int = ...,
        segments: int = ...,
        division: Literal["slic", "grid"] = ...,
        fill: Literal["grey", "black", "mean", "blur", "inpainted"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[_ShapleyHeatmap]]: ...

shapley: _Shapley

class _Lime(_Method[_SegmentHeatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        samples: int = ...,
        kernel: Literal["lime", "shapley"] = ...,
        segments: int = ...,
        division: Literal["slic", "grid"] = ...,
        fill: Literal["grey", "black", "mean", "blur", "inpainted"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> _SegmentHeatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        samples: int = ...,
        kernel: Literal["lime", "shapley"] = ...,
        segments: int = ...,
        division: Literal["slic", "grid"] = ...,
        fill: Literal["grey", "black", "mean", "blur", "inpainted"] = ...,
        batch_size: int = ...,
        seed: int = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[_SegmentHeatmap]]: ...

lime: _Lime

class _AttentionRollout(_Method[Heatmap]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        heads: Literal["mean", "max", "min"] = ...,
        fit: _Fit = ...,
    ) -> Heatmap: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        heads: Literal["mean", "max", "min"] = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Heatmap]]: ...

attention_rollout: _AttentionRollout

class _GradientAttention(_Method[Heatmap]):
    def __call__(
        self, network: Network, images: _Images, objective: _ObjectiveLike | None = ..., *, fit: _Fit = ...
    ) -> Heatmap: ...
    def steps(
        self, network: Network, images: _Images, objective: _ObjectiveLike | None = ..., *, fit: _Fit = ...
    ) -> Iterator[Step[Heatmap]]: ...

gradient_attention: _GradientAttention

class _Judge(_Method[_Judgement]):
    def __call__(
        self,
        network: Network,
        images: _Images | None = ...,
        objective: _ObjectiveLike | None = ...,
        *,
        collection: Collection | str | None = ...,
        labels: Collection | str | None = ...,
        methods: Sequence[str] | str | None = ...,
        numbers: Sequence[
            Literal[
                "insertion",
                "deletion",
                "road",
                "infidelity",
                "sensitivity_n",
                "class",
                "randomisation",
                "max_sensitivity",
                "pointing",
                "energy",
            ]
        ]
        | str = ...,
        baselines: bool = ...,
        steps: int = ...,
        fit: _Fit = ...,
        seed: int = ...,
        checkpoint: str | None = ...,
    ) -> _Judgement: ...
    def steps(
        self,
        network: Network,
        images: _Images | None = ...,
        objective: _ObjectiveLike | None = ...,
        *,
        collection: Collection | str | None = ...,
        labels: Collection | str | None = ...,
        methods: Sequence[str] | str | None = ...,
        numbers: Sequence[
            Literal[
                "insertion",
                "deletion",
                "road",
                "infidelity",
                "sensitivity_n",
                "class",
                "randomisation",
                "max_sensitivity",
                "pointing",
                "energy",
            ]
        ]
        | str = ...,
        baselines: bool = ...,
        steps: int = ...,
        fit: _Fit = ...,
        seed: int = ...,
        checkpoint: str | None = ...,
    ) -> Iterator[Step[_Judgement]]: ...

judge: _Judge

class _Compare(_Method[_HeatmapTable]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        methods: Sequence[str] | str | None = ...,
        units: Sequence[str] | str | None = ...,
        fit: _Fit = ...,
    ) -> _HeatmapTable: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        methods: Sequence[str] | str | None = ...,
        units: Sequence[str] | str | None = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[_HeatmapTable]]: ...

compare: _Compare

class _Difference(_Method[Heatmap]):
    def __call__(
        self,
        network: Network | Sequence[Network],
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        method: str = ...,
        relative: bool = ...,
        fit: _Fit = ...,
    ) -> Heatmap: ...
    def steps(
        self,
        network: Network | Sequence[Network],
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        method: str = ...,
        relative: bool = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Heatmap]]: ...

difference: _Difference

class _Segment(_Method[_Segmentation]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        method: str = ...,
        foreground: float = ...,
        background: float = ...,
        rounds: int = ...,
        fit: _Fit = ...,
    ) -> _Segmentation: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        *,
        method: str = ...,
        foreground: float = ...,
        background: float = ...,
        rounds: int = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[_Segmentation]]: ...

segment: _Segment

class _Ascend(_Method[SynthesisedImage]):
    def __call__(
        self,
        network: Network,
        objective: _ObjectiveLike,
        *,
        size: int | None = ...,
        steps: int = ...,
        seed: int = ...,
        regulariser: Regulariser | Literal["none", "l2", "blur", "jitter", "fourier", "natural"] = ...,
        diverse: int = ...,
        octaves: int = ...,
        optimiser: Literal["adam", "lbfgs", "momentum"] = ...,
        precision: Literal["auto", "float32", "bfloat16"] = ...,
        checkpoint: str | None = ...,
        canvas: Literal["fourier", "pixels"] | None = ...,
        rate: float | None = ...,
        class_log_prob: float | None = ...,
        l2: float | None = ...,
        tv: float | None = ...,
        jitter: float | None = ...,
        scale: float | None = ...,
        rotate: float | None = ...,
        blur: float | None = ...,
        clip: float | None = ...,
        contribution_clip: float | None = ...,
    ) -> SynthesisedImage: ...
    def steps(
        self,
        network: Network,
        objective: _ObjectiveLike,
        *,
        size: int | None = ...,
        steps: int = ...,
        seed: int = ...,
        regulariser: Regulariser | Literal["none", "l2", "blur", "jitter", "fourier", "natural"] = ...,
        diverse: int = ...,
        octaves: int = ...,
        optimiser: Literal["adam", "lbfgs", "momentum"] = ...,
        precision: Literal["auto", "float32", "bfloat16"] = ...,
        checkpoint: str | None = ...,
        canvas: Literal["fourier", "pixels"] | None = ...,
        rate: float | None = ...,
        class_log_prob: float | None = ...,
        l2: float | None = ...,
        tv: float | None = ...,
        jitter: float | None = ...,
        scale: float | None = ...,
        rotate: float | None = ...,
        blur: float | None = ...,
        clip: float | None = ...,
        contribution_clip: float | None = ...,
    ) -> Iterator[Step[SynthesisedImage]]: ...

ascend: _Ascend

class _Units(_Method[_UnitPictures]):
    def __call__(
        self,
        network: Network,
        layers: str | Sequence[str],
        *,
        channels: Sequence[str] | str | None = ...,
        size: int | None = ...,
        steps: int = ...,
        tolerance: float = ...,
        seed: int = ...,
        regulariser: Regulariser | Literal["none", "l2", "blur", "jitter", "fourier", "natural"] = ...,
        precision: Literal["auto", "float32", "bfloat16"] = ...,
        batch: int = ...,
        canvas: Literal["fourier", "pixels"] | None = ...,
        rate: float | None = ...,
        class_log_prob: float | None = ...,
        l2: float | None = ...,
        tv: float | None = ...,
        jitter: float | None = ...,
        scale: float | None = ...,
        rotate: float | None = ...,
        blur: float | None = ...,
        clip: float | None = ...,
        contribution_clip: float | None = ...,
    ) -> _UnitPictures: ...
    def steps(
        self,
        network: Network,
        layers: str | Sequence[str],
        *,
        channels: Sequence[str] | str | None = ...,
        size: int | None = ...,
        steps: int = ...,
        tolerance: float = ...,
        seed: int = ...,
        regulariser: Regulariser | Literal["none", "l2", "blur", "jitter", "fourier", "natural"] = ...,
        precision: Literal["auto", "float32", "bfloat16"] = ...,
        batch: int = ...,
        canvas: Literal["fourier", "pixels"] | None = ...,
        rate: float | None = ...,
        class_log_prob: float | None = ...,
        l2: float | None = ...,
        tv: float | None = ...,
        jitter: float | None = ...,
        scale: float | None = ...,
        rotate: float | None = ...,
        blur: float | None = ...,
        clip: float | None = ...,
        contribution_clip: float | None = ...,
    ) -> Iterator[Step[_UnitPictures]]: ...

units: _Units

class _Regularisers(_Method[_Comparison]):
    def __call__(
        self, network: Network, objective: _ObjectiveLike, *, size: int | None = ..., steps: int = ..., seed: int = ...
    ) -> _Comparison: ...
    def steps(
        self, network: Network, objective: _ObjectiveLike, *, size: int | None = ..., steps: int = ..., seed: int = ...
    ) -> Iterator[Step[_Comparison]]: ...

regularisers: _Regularisers

class _Dream(_Method[SynthesisedImage]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        layer: str | None = ...,
        *,
        size: int = ...,
        steps: int = ...,
        views: DreamViews = ...,
        rate: float = ...,
        seed: int = ...,
        checkpoint: str | None = ...,
        octaves: int = ...,
        jitter: float = ...,
        fit: _Fit = ...,
    ) -> SynthesisedImage: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike | None = ...,
        layer: str | None = ...,
        *,
        size: int = ...,
        steps: int = ...,
        views: DreamViews = ...,
        rate: float = ...,
        seed: int = ...,
        checkpoint: str | None = ...,
        octaves: int = ...,
        jitter: float = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[SynthesisedImage]]: ...

dream: _Dream

class _Invert(_Method[_Inversion]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        layer: str | Sequence[str] | None = ...,
        *,
        preset: InversionPreset | Literal["natural", "mahendran"] = ...,
        every_stage: bool = ...,
        steps: int = ...,
        octaves: int = ...,
        seed: int = ...,
        checkpoint: str | None = ...,
        canvas: Literal["fourier", "pixels"] | None = ...,
        optimiser: Literal["adam", "lbfgs", "momentum"] | None = ...,
        rate: float | None = ...,
        tv: float | None = ...,
        norm: float | None = ...,
        starts: int | None = ...,
        distance: Literal["log", "relative"] | None = ...,
        schedule: Literal["cosine", "thirds"] | None = ...,
        fit: _Fit = ...,
    ) -> _Inversion: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        layer: str | Sequence[str] | None = ...,
        *,
        preset: InversionPreset | Literal["natural", "mahendran"] = ...,
        every_stage: bool = ...,
        steps: int = ...,
        octaves: int = ...,
        seed: int = ...,
        checkpoint: str | None = ...,
        canvas: Literal["fourier", "pixels"] | None = ...,
        optimiser: Literal["adam", "lbfgs", "momentum"] | None = ...,
        rate: float | None = ...,
        tv: float | None = ...,
        norm: float | None = ...,
        starts: int | None = ...,
        distance: Literal["log", "relative"] | None = ...,
        schedule: Literal["cosine", "thirds"] | None = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[_Inversion]]: ...

invert: _Invert

class _Texture(_Method[_StyleResult]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        *,
        size: int = ...,
        aspect: float = ...,
        scale: float = ...,
        tile: bool = ...,
        loss: TextureLoss = ...,
        synthesis: Synthesis = ...,
        layers: Sequence[str] | str | None = ...,
        statistics: Literal["gram", "covariance", "wasserstein"] = ...,
        preset: Literal[
            "triscope", "gatys2015", "gatys2016", "johnson2016", "neural-style", "tutorial", "cs231n"
        ] = ...,
        pooling: Literal["max", "average"] | None = ...,
        steps: int = ...,
        octaves: int = ...,
        optimiser: Literal["lbfgs", "adam"] = ...,
        rate: float | None = ...,
        seed: int = ...,
        precision: Literal["auto", "float32", "bfloat16"] = ...,
        memory: int | str | None = ...,
        checkpoint: str | None = ...,
        fit: _Fit = ...,
    ) -> _StyleResult: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        *,
        size: int = ...,
        aspect: float = ...,
        scale: float = ...,
        tile: bool = ...,
        loss: TextureLoss = ...,
        synthesis: Synthesis = ...,
        layers: Sequence[str] | str | None = ...,
        statistics: Literal["gram", "covariance", "wasserstein"] = ...,
        preset: Literal[
            "triscope", "gatys2015", "gatys2016", "johnson2016", "neural-style", "tutorial", "cs231n"
        ] = ...,
        pooling: Literal["max", "average"] | None = ...,
        steps: int = ...,
        octaves: int = ...,
        optimiser: Literal["lbfgs", "adam"] = ...,
        rate: float | None = ...,
        seed: int = ...,
        precision: Literal["auto", "float32", "bfloat16"] = ...,
        memory: int | str | None = ...,
        checkpoint: str | None = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[_StyleResult]]: ...

texture: _Texture

class _Stylize(_Method[_StyleResult]):
    def __call__(
        self,
        network: Network,
        content: _Images,
        style: _Images,
        masks: _Images | None = ...,
        *,
        size: int | Literal["content"] = ...,
        style_scale: float = ...,
        start: _Images | None = ...,
        colors: Literal["style", "luminance", "covariance", "histogram"] = ...,
        loss: StyleLoss = ...,
        synthesis: Synthesis = ...,
        layers: Sequence[str] | str | None = ...,
        statistics: Literal["gram", "covariance", "wasserstein"] = ...,
        preset: Literal[
            "triscope", "gatys2015", "gatys2016", "johnson2016", "neural-style", "tutorial", "cs231n"
        ] = ...,
        pooling: Literal["max", "average"] | None = ...,
        content_layers: str | None = ...,
        content_weight: float | None = ...,
        style_weight: float | None = ...,
        tv: float | None = ...,
        blend: Sequence[float] | str | None = ...,
        steps: int = ...,
        octaves: int = ...,
        optimiser: Literal["lbfgs", "adam"] = ...,
        rate: float | None = ...,
        seed: int = ...,
        precision: Literal["auto", "float32", "bfloat16"] = ...,
        memory: int | str | None = ...,
        checkpoint: str | None = ...,
    ) -> _StyleResult: ...
    def steps(
        self,
        network: Network,
        content: _Images,
        style: _Images,
        masks: _Images | None = ...,
        *,
        size: int | Literal["content"] = ...,
        style_scale: float = ...,
        start: _Images | None = ...,
        colors: Literal["style", "luminance", "covariance", "histogram"] = ...,
        loss: StyleLoss = ...,
        synthesis: Synthesis = ...,
        layers: Sequence[str] | str | None = ...,
        statistics: Literal["gram", "covariance", "wasserstein"] = ...,
        preset: Literal[
            "triscope", "gatys2015", "gatys2016", "johnson2016", "neural-style", "tutorial", "cs231n"
        ] = ...,
        pooling: Literal["max", "average"] | None = ...,
        content_layers: str | None = ...,
        content_weight: float | None = ...,
        style_weight: float | None = ...,
        tv: float | None = ...,
        blend: Sequence[float] | str | None = ...,
        steps: int = ...,
        octaves: int = ...,
        optimiser: Literal["lbfgs", "adam"] = ...,
        rate: float | None = ...,
        seed: int = ...,
        precision: Literal["auto", "float32", "bfloat16"] = ...,
        memory: int | str | None = ...,
        checkpoint: str | None = ...,
    ) -> Iterator[Step[_StyleResult]]: ...

stylize: _Stylize

class _Fool(_Method[_Fooled]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike,
        *,
        steps: int = ...,
        rate: float = ...,
        margin: float = ...,
        fit: _Fit = ...,
    ) -> _Fooled: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        objective: _ObjectiveLike,
        *,
        steps: int = ...,
        rate: float = ...,
        margin: float = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[_Fooled]]: ...

fool: _Fool

class _Neighbors(_Method[Gallery]):
    def __call__(
        self,
        store: Store,
        query: _Query,
        layer: str | None = ...,
        *,
        k: int = ...,
        metric: Literal["cosine", "euclidean"] = ...,
        pool: Literal["mean", "max"] = ...,
        where: str | None = ...,
        exact: bool = ...,
    ) -> Gallery: ...
    def steps(
        self,
        store: Store,
        query: _Query,
        layer: str | None = ...,
        *,
        k: int = ...,
        metric: Literal["cosine", "euclidean"] = ...,
        pool: Literal["mean", "max"] = ...,
        where: str | None = ...,
        exact: bool = ...,
    ) -> Iterator[Step[Gallery]]: ...

neighbors: _Neighbors

class _Duplicates(_Method[Gallery]):
    def __call__(
        self, store: Store, layer: str | None = ..., *, least: float = ..., pool: Literal["mean", "max"] = ...
    ) -> Gallery: ...
    def steps(
        self, store: Store, layer: str | None = ..., *, least: float = ..., pool: Literal["mean", "max"] = ...
    ) -> Iterator[Step[Gallery]]: ...

duplicates: _Duplicates

class _Top(_Method[Gallery]):
    def __call__(
        self, store: Store, objective: _ObjectiveLike, *, k: int = ..., where: str | None = ...
    ) -> Gallery: ...
    def steps(
        self, store: Store, objective: _ObjectiveLike, *, k: int = ..., where: str | None = ...
    ) -> Iterator[Step[Gallery]]: ...

top: _Top

class _Patches(_Method[Gallery]):
    def __call__(
        self, store: Store, objective: _ObjectiveLike, *, k: int = ..., where: str | None = ...
    ) -> Gallery: ...
    def steps(
        self, store: Store, objective: _ObjectiveLike, *, k: int = ..., where: str | None = ...
    ) -> Iterator[Step[Gallery]]: ...

patches: _Patches

class _Selection(_Method[_Selected]):
    def __call__(
        self,
        store: Store,
        layer: str | None = ...,
        *,
        rows: Sequence[int] | str | None = ...,
        where: str | None = ...,
        units: int = ...,
        k: int = ...,
    ) -> _Selected: ...
    def steps(
        self,
        store: Store,
        layer: str | None = ...,
        *,
        rows: Sequence[int] | str | None = ...,
        where: str | None = ...,
        units: int = ...,
        k: int = ...,
    ) -> Iterator[Step[_Selected]]: ...

selection: _Selection

class _Pca(_Method[Map]):
    def __call__(
        self,
        store: Store,
        layer: str | None = ...,
        *,
        form: Literal["map", "mosaic"] = ...,
        size: int = ...,
        color_by: str | None = ...,
    ) -> Map: ...
    def steps(
        self,
        store: Store,
        layer: str | None = ...,
        *,
        form: Literal["map", "mosaic"] = ...,
        size: int = ...,
        color_by: str | None = ...,
    ) -> Iterator[Step[Map]]: ...

pca: _Pca

class _Tsne(_Method[Map]):
    def __call__(
        self,
        store: Store,
        layer: str | None = ...,
        *,
        perplexity: float = ...,
        steps: int = ...,
        seed: int = ...,
        form: Literal["map", "mosaic"] = ...,
        size: int = ...,
        color_by: str | None = ...,
    ) -> Map: ...
    def steps(
        self,
        store: Store,
        layer: str | None = ...,
        *,
        perplexity: float = ...,
        steps: int = ...,
        seed: int = ...,
        form: Literal["map", "mosaic"] = ...,
        size: int = ...,
        color_by: str | None = ...,
    ) -> Iterator[Step[Map]]: ...

tsne: _Tsne

class _Confusion(_Method[Confusion]):
    def __call__(self, store: Store, *, by: str | None = ..., where: str | None = ...) -> Confusion: ...
    def steps(self, store: Store, *, by: str | None = ..., where: str | None = ...) -> Iterator[Step[Confusion]]: ...

confusion: _Confusion

class _Changes(_Method[Changes]):
    def __call__(self, store: Store, other: Store, *, where: str | None = ...) -> Changes: ...
    def steps(self, store: Store, other: Store, *, where: str | None = ...) -> Iterator[Step[Changes]]: ...

changes: _Changes

class _Filters(_Method[Grid]):
    def __call__(
        self,
        network: Network | Sequence[Network],
        layer: str | None = ...,
        *,
        scale: Literal["each", "layer"] = ...,
        most: int = ...,
    ) -> Grid: ...
    def steps(
        self,
        network: Network | Sequence[Network],
        layer: str | None = ...,
        *,
        scale: Literal["each", "layer"] = ...,
        most: int = ...,
    ) -> Iterator[Step[Grid]]: ...

filters: _Filters

class _Activations(_Method[Grid]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        layer: str,
        *,
        order: Literal["channel", "response"] = ...,
        most: int = ...,
        fit: _Fit = ...,
    ) -> Grid: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        layer: str,
        *,
        order: Literal["channel", "response"] = ...,
        most: int = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Grid]]: ...

activations: _Activations

class _AttentionMaps(_Method[Grid]):
    def __call__(
        self,
        network: Network,
        images: _Images,
        layer: str | None = ...,
        *,
        head: int | None = ...,
        token: str = ...,
        fit: _Fit = ...,
    ) -> Grid: ...
    def steps(
        self,
        network: Network,
        images: _Images,
        layer: str | None = ...,
        *,
        head: int | None = ...,
        token: str = ...,
        fit: _Fit = ...,
    ) -> Iterator[Step[Grid]]: ...

attention_maps: _AttentionMaps

class _Predict(_Method[Ranking]):
    def __call__(self, network: Network, images: _Images, *, k: int = ..., fit: _Fit = ...) -> Ranking: ...
    def steps(self, network: Network, images: _Images, *, k: int = ..., fit: _Fit = ...) -> Iterator[Step[Ranking]]: ...

predict: _Predict
