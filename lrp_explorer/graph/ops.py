"""The op table: every operation of PyTorch that is understood, and its kind. The one place to extend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KINDS: dict[str, str] = {
    "convolution": "convolutions, transposed ones included",
    "linear": "dense layers and products with a constant matrix",
    "batch_norm": "batch norm that could not be folded: one factor and one bias a channel",
    "average_pool": "averages: average pooling, adaptive pooling, means",
    "interpolation": "upsampling by interpolation",
    "max_pool": "max pooling",
    "sum": "sums of two values that depend on the input (residual connections)",
    "shift": "sums of a value and a constant; log-softmax, whose normaliser counts as one",
    "scale": "products of a value and a constant",
    "gate": "products and quotients of two values that depend on the input",
    "concatenation": "concatenations, and choices among values",
    "reshape": "flatten, permute, slice, pad with zeros …: values are moved, not changed",
    "activation": "elementwise non-linearities, comparisons",
    "softmax": "softmax",
    "matmul": "products of matrices that depend on the input, norms of vectors, and other maps shared by contribution",
    "attention": "scaled dot-product attention as one operation",
    "layer_norm": "normalisation over features of one example",
    "response_norm": "local response normalisation",
}

Sign = Literal["any", "nonnegative", "keeps"]


@dataclass(frozen=True)
class Op:
    """What the engine knows of one operation.

    Attributes
    ----------
    kind : str
        Its kind when one argument depends on the model's input.
    pair : str or None
        Its kind when several of its arguments do; None where no rule is known for that.
    sign : {"any", "nonnegative", "keeps"}
        What is known of the output's sign: nothing, never negative, or never negative when no input is.
    data : tuple of int
        Positions of the arguments that may depend on the model's input; empty where any may.
    """

    kind: str
    pair: str | None = None
    sign: Sign = "any"
    data: tuple[int, ...] = ()


def _table(
    kind: str, names: str, pair: str | None = None, sign: Sign = "any", data: tuple[int, ...] = ()
) -> dict[str, Op]:
    return {name: Op(kind, pair, sign, data) for name in names.split()}


# Their values are true or false: they choose among other values, and carry no relevance.
CHOICES = (
    *("gt", "lt", "ge", "le", "eq", "ne", "logical_and", "logical_or", "logical_not", "logical_xor"),
    *("bitwise_and", "bitwise_or", "bitwise_not", "bitwise_xor", "__and__", "__or__", "__xor__"),
)

OPS: dict[str, Op] = {
    **_table(
        "convolution",
        "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
        pair="matmul",
        data=(0, 1),
    ),
    **_table("linear", "linear", pair="matmul", data=(0, 1)),
    **_table("linear", "addmm", data=(1,)),
    **_table("linear", "matmul bmm mm", pair="matmul"),
    **_table("batch_norm", "_native_batch_norm_legit_no_training batch_norm native_batch_norm", data=(0,)),
    **_table(
        "average_pool",
        "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d mean sum",
        sign="keeps",
    ),
    **_table(
        "interpolation",
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d "
        "_upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d _upsample_bilinear2d_aa",
        sign="keeps",
    ),
    # Linear, but with coefficients of either sign, or with sums over places that overlap.
    **_table("matmul", "upsample_bicubic2d _upsample_bicubic2d_aa"),
    **_table("matmul", "col2im grid_sampler", sign="keeps", data=(0,)),
    **_table("matmul", "linalg_vector_norm var std", sign="nonnegative"),
    **_table(
        "max_pool",
        "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices "
        "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax",
        sign="keeps",
    ),
    **_table("shift", "add sub rsub", pair="sum", sign="keeps"),
    **_table("shift", "log_softmax _log_softmax"),
    **_table("scale", "mul div", pair="gate", sign="keeps"),
    **_table("scale", "neg"),
    **_table("concatenation", "cat stack", pair="concatenation", sign="keeps"),
    **_table(
        "reshape",
        "view reshape _unsafe_view flatten unflatten permute transpose t squeeze unsqueeze expand repeat slice select "
        "split chunk unbind narrow index index_select roll flip clone contiguous alias detach pad constant_pad_nd "
        "reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d "
        "movedim moveaxis swapaxes swapdims pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle "
        "_to_copy to type_as dropout native_dropout feature_dropout alpha_dropout feature_alpha_dropout "
        "lift_fresh_copy positive unfold im2col split_with_sizes tensor_split hsplit vsplit dsplit expand_as view_as "
        "reshape_as broadcast_to tile repeat_interleave rot90 gather take_along_dim diagonal tril triu",
        sign="keeps",
        data=(0,),
    ),
    **_table("reshape", "masked_fill", data=(0,)),
    **_table("reshape", "slice_scatter select_scatter diagonal_scatter", pair="concatenation", data=(0, 1)),
    **_table("reshape", "where", pair="concatenation"),
    **_table("activation", "relu relu6 sigmoid hardsigmoid softplus clamp_min abs square", sign="nonnegative"),
    **_table(
        "activation",
        "leaky_relu prelu elu selu celu gelu silu mish tanh hardtanh hardswish softsign logsigmoid log_sigmoid "
        "hardshrink softshrink threshold clamp clamp_max exp expm1 log log1p sqrt rsqrt reciprocal pow erf atan rrelu "
        "_prelu_kernel log_sigmoid_forward",
    ),
    **_table("activation", " ".join(CHOICES), pair="activation", sign="nonnegative"),
    **_table("softmax", "softmax _softmax", sign="nonnegative"),
    **_table("attention", "scaled_dot_product_attention", pair="attention", data=(0, 1, 2, 3)),
    **_table(
        "layer_norm", "layer_norm native_layer_norm group_norm native_group_norm instance_norm rms_norm", data=(0,)
    ),
}

# Operations that take nothing of a value but its shape.
SHAPE_ONLY = frozenset(
    "new_zeros new_ones new_full new_empty zeros_like ones_like full_like empty_like sym_size".split()
)

# Operations that take the values of their first argument, and of the others nothing but the shape or type.
FIRST_ONLY = frozenset("expand_as view_as reshape_as type_as".split())


_SYNONYMS = {"multiply": "mul", "subtract": "sub", "true_divide": "div", "divide": "div"}


def op_name(target: object) -> str:
    """Name of an operation without its namespace and overload: ``aten.conv2d.default`` → ``"conv2d"``."""
    schema = getattr(target, "_schema", None)
    name = schema.name.split("::")[-1] if schema is not None else getattr(target, "__name__", str(target))
    name = name.removesuffix("_") if not name.endswith("__") else name
    return _SYNONYMS.get(name, name)
