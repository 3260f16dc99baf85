"""What relevance propagation does at each operation that is no layer with weights.

    sums, means, pooling, concatenation, softmax      the gradient: what y was made of is given its share of R
    activations (ReLU, GELU, SiLU, clamps, ...)       R unchanged (identity rule)
    a product of two activations                      R in halves (uniform rule); all of it past a sigmoid gate
    a product of two matrices                         R in halves, each shared out as a layer with weights does
    a quotient, a normalisation                       what is divided by is a constant
    attention                                         as the products and the softmax that it is made of

These are the rules of Achtibat et al., "AttnLRP: attention-aware layer-wise relevance propagation for transformers",
ICML 2024: Proposition 3.1 (softmax), 3.2 and 3.3 (products), 3.4 (normalisation), eq. 9 (activations). Written for
c = R / activation, most of them are the gradient, or half of it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from triscope.network.backward_rules import Call
from triscope.network.backward_rules.attention import Attention
from triscope.where.propagation.messages import is_gate, valued, weakened


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Operations that leave the image an image, in another order or size: relevance moves as they do.
MOVING = _names(
    """
    view reshape view_as reshape_as flatten unflatten squeeze unsqueeze permute transpose swapaxes swapdims movedim
    moveaxis t adjoint expand expand_as broadcast_to repeat repeat_interleave tile contiguous clone detach alias get
    getitem setitem narrow select index_select gather take take_along_dim chunk split tensor_split unbind
    split_with_sizes hsplit vsplit dsplit cat concat concatenate stack hstack vstack dstack flip fliplr flipud roll
    rot90 pad pixel_shuffle pixel_unshuffle channel_shuffle unfold fold interpolate upsample upsample_nearest
    upsample_bilinear dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout to type type_as float
    double half bfloat16 cpu cuda masked_fill where ravel copy requires_grad atleast_3d
    """
)

#: Operations that are homogeneous in what depends on the image, or linear: their gradient passes back all relevance.
GRADIENT = MOVING | _names(
    """
    add sub rsub neg positive sum nansum mean cumsum lerp addcmul softmax abs
    relu leaky_relu rrelu prelu maxout max amax min amin maximum minimum fmax fmin topk sort median
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d adaptive_max_pool1d_with_indices
    adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices
    """
)

#: Sigmoids: what they give is a gate, where something else is multiplied with it.
GATES = frozenset(("sigmoid", "hardsigmoid", "expit"))

#: Functions of each number by itself, and normalisations without a shift: they pass relevance on.
ACTIVATIONS = GATES | _names(
    """
    relu6 hardtanh clamp clamp_min clamp_max clip threshold gelu silu mish elu celu selu hardswish softplus softsign
    tanh tanhshrink softshrink hardshrink logsigmoid exp expm1 log log1p pow square sin cos erf
    local_response_norm normalize rms_norm
    """
)

#: Affine maps of each number by itself, where one operand alone depends on the image.
AFFINE = frozenset(("add", "sub", "rsub", "mul", "multiply", "div", "divide", "true_divide", "neg", "batch_norm"))


def product(call: Call) -> Any:
    """A product of numbers: halves, but nothing to a sigmoid that the other factor is weighted with."""
    varying = [one for one in call.tensors() if one.requires_grad]
    if len(varying) < 2:
        return call.plain()
    gates = [is_gate(one) for one in varying]
    if any(gates) and not all(gates) and not (call.in_place and is_gate(call.subject)):
        return call.replacing(lambda one: one.detach() if one.requires_grad and is_gate(one) else one).plain()
    return weakened(call.plain(), 0.5)


def matrix_product(call: Call) -> Any:
    """A product of two matrices, or a sum of products: halves."""
    return weakened(call.plain(), 0.5 if sum(one.requires_grad for one in call.tensors()) > 1 else 1.0)


def quotient(call: Call) -> Any:
    """What is divided by is a constant."""
    left, right, *rest = call.args
    return call.function(left, right.detach() if isinstance(right, Tensor) else right, *rest, **call.kwargs)


def divisor(call: Call) -> Any:
    """A deviation, a root, a reciprocal: what something will be divided by."""
    with torch.no_grad():
        return call.plain()


def moments(call: Call) -> Any:
    """A deviation and a mean."""
    deviation, mean = call.plain()
    return deviation.detach(), mean


def fused_attention(call: Call) -> Any:
    """`scaled_dot_product_attention`: half of the relevance for each factor of each product."""
    asked = Attention.of(call)
    scores = 0.5 if asked.query.requires_grad and asked.key.requires_grad else 1.0
    values = 0.5 if asked.value.requires_grad and (asked.query.requires_grad or asked.key.requires_grad) else 1.0
    query, key = (weakened(one.view_as(one), scores * values) for one in (asked.query, asked.key))
    value = weakened(asked.value.view_as(asked.value), values)
    kwargs = {name: given for name, given in call.kwargs.items() if name not in ("query", "key", "value")}
    return call.function(query, key, value, *call.args[3:], **kwargs)


def layer_norm(call: Call) -> Any:
    """Centring is linear, the deviation a constant, the shift takes its share."""

    def read(input: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
        dims = tuple(range(-len(normalized_shape), 0))
        return _centred(call, input, dims, eps, weight)

    return read(*call.args, **call.kwargs)


def group_norm(call: Call) -> Any:
    """As layer norm, over the channels of a group."""

    def read(input: Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
        return _centred_groups(call, input, num_groups, eps, weight)

    return read(*call.args, **call.kwargs)


def instance_norm(call: Call) -> Any:
    """As layer norm, over each channel; an affine map where it uses statistics of the training."""

    def read(
        input: Tensor, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
        use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
    ) -> Any:  # fmt: skip
        return _centred_groups(call, input, input.shape[1], eps, weight) if use_input_stats else call.plain()

    return read(*call.args, **call.kwargs)


def _centred_groups(call: Call, x: Tensor, groups: int, eps: float, weight: Tensor | None) -> Tensor:
    channels = None if weight is None else weight.view(-1, *(1,) * (x.ndim - 2)).expand(x.shape[1:])
    grouped = None if channels is None else channels.reshape(groups, -1)
    return _centred(call, x.reshape(len(x), groups, -1), (-1,), eps, grouped)


def _centred(call: Call, x: Tensor, dims: tuple[int, ...], eps: float, weight: Tensor | None) -> Tensor:
    with torch.no_grad():
        value = call.plain()
        slope = (x.var(dims, correction=0, keepdim=True) + eps).rsqrt()
        slope = slope if weight is None else slope * weight
    sender = (x - x.mean(dims, keepdim=True)) * slope
    return valued(sender.reshape(value.shape), value)


HANDLERS: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("mul", "multiply"), product),
    **dict.fromkeys(("matmul", "rmatmul", "bmm", "mm", "mv", "dot", "einsum", "tensordot"), matrix_product),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm"), matrix_product),
    **dict.fromkeys(("div", "divide", "true_divide"), quotient),
    **dict.fromkeys(
        ("sqrt", "rsqrt", "reciprocal", "rdiv", "var", "std", "norm", "vector_norm", "linalg_norm"), divisor
    ),
    "linalg_vector_norm": divisor,
    **dict.fromkeys(("var_mean", "std_mean"), moments),
    "scaled_dot_product_attention": fused_attention,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
}
