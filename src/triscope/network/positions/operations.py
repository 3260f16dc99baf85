"""What is known of torch's functions, by name: what each does to the places of the numbers it is given."""

from collections.abc import Callable

import torch.nn.functional as F

from triscope.network.positions import raster
from triscope.network.positions.raster import Raster

_POOL = ("kernel_size", "stride", "padding")
_CONVOLUTION = ("weight", "bias", "stride", "padding", "dilation")

#: The names of a window's arguments, and the place of the first of them.
KERNELS: dict[str, tuple[tuple[str, ...], int]] = {
    "conv2d": (_CONVOLUTION, 1),
    **dict.fromkeys(("max_pool2d", "_max_pool2d", "max_pool2d_with_indices"), ((*_POOL, "dilation"), 1)),
    "avg_pool2d": (_POOL, 1),
}

#: What gives new rows and columns to the same image.
RESAMPLING = frozenset(("interpolate", "upsample"))

#: Windows slid along the last two dimensions, and new grids along them.
WINDOWS: dict[str, Callable[..., Raster | None]] = {
    **{name: raster.window(*kernel) for name, kernel in KERNELS.items()},
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d", "_adaptive_max_pool2d"), raster.adaptive),
    **dict.fromkeys(
        ("conv_transpose2d", "interpolate", "upsample", "pixel_shuffle", "pixel_unshuffle"), raster.resampled
    ),
}

#: What moves numbers about, and how rows and columns come through it as rows and columns.
RASTER_MOVES: dict[str, Callable[..., Raster | None]] = {
    "pad": raster.pad,
    "__getitem__": raster.index,
    "unsqueeze": raster.unsqueeze,
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten"), raster.view),
    "permute": raster.permute,
    **dict.fromkeys(("transpose", "swapaxes"), raster.transpose),
    **dict.fromkeys(("cat", "concat", "concatenate"), raster.joined),
    **dict.fromkeys(("chunk", "split", "unbind", "channel_shuffle"), raster.pointwise),
}

#: Of these, what gives the numbers in the order in which they are, in other dimensions.
VIEWS = frozenset(("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"))


def is_blocks(func: object) -> bool:
    """Whether it is torch.nn.functional's fold or unfold; `Tensor.unfold` has the same name."""
    return func in (F.fold, F.unfold)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: All that moves numbers about, or repeats some, without making new ones.
MOVES = VIEWS.union(RASTER_MOVES) | _names(
    """
    roll flip movedim moveaxis expand expand_as repeat tile repeat_interleave stack narrow select index_select gather
    unfold fold tensor_split t __get__ take_along_dim
    """
)

#: What takes only the shape and type of a tensor.
CONSTANT = _names(
    """
    new_zeros new_ones new_full new_empty zeros_like ones_like full_like empty_like rand_like randn_like randint_like
    """
)

#: What takes only the shape or type of its second argument.
LIKE = _names("to type_as expand_as view_as reshape_as")

#: What writes numbers into a tensor: its first argument, or what that is a part of, is what comes out.
WRITING = _names("__setitem__")
COPYING = _names("copy_")

#: What mixes the numbers of the last dimension.
LAST = _names("linear layer_norm")

#: What adds up, or picks out of, all numbers along dimensions.
SUMS = _names("mean sum amax amin max min logsumexp nanmean median prod var std")

PRODUCTS = _names("matmul __matmul__ bmm")

#: Sums of products along named dimensions.
EINSUM = _names("einsum")

#: What answers each query, its first argument, from all keys.
ATTENTION = _names(
    """
    scaled_dot_product_attention multi_head_attention_forward _transformer_encoder_layer_fwd
    _native_multi_head_attention
    """
)

#: What pools the regions of an image that a detector proposes, and the modules that do: their rows are regions.
REGIONS = _names("roi_align roi_pool ps_roi_align ps_roi_pool")
REGION_MODULES = _names("RoIAlign RoIPool PSRoIAlign PSRoIPool MultiScaleRoIAlign ROIAlign ROIPooler RoIExtractor")

#: What works number by number.
POINTWISE = _names(
    """
    relu relu_ relu6 leaky_relu leaky_relu_ elu selu celu gelu silu mish hardswish hardsigmoid hardtanh sigmoid sigmoid_
    tanh tanh_ softplus prelu glu logsigmoid clamp clamp_ clamp_min clamp_min_ clamp_max threshold abs square sqrt rsqrt
    pow __pow__ exp log neg __neg__ erf sin cos nan_to_num masked_fill masked_fill_
    add add_ __add__ __iadd__ __radd__ sub sub_ __sub__ __rsub__ rsub mul mul_ __mul__ __imul__ __rmul__
    div div_ __truediv__ __itruediv__ true_divide maximum minimum where lerp addcmul
    batch_norm local_response_norm dropout dropout_ dropout1d dropout2d feature_dropout alpha_dropout stochastic_depth
    clone contiguous detach to float double half bfloat16 type type_as requires_grad_
    """
)

#: What leaves each number in its place, and lets it depend on others.
SPREADING = _names("softmax log_softmax normalize rms_norm group_norm instance_norm")

#: All functions whose effect on places is known.
KNOWN = (
    POINTWISE | SPREADING | MOVES | WRITING | COPYING | LAST | SUMS | PRODUCTS | EINSUM | ATTENTION | frozenset(WINDOWS)
)
