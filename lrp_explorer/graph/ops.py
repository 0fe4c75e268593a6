"""The op table: every operation of PyTorch that is understood, and its kind. The one place to extend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KINDS: dict[str, str] = {
    "convolution": "convolutions, transposed ones included",
    "linear": "dense layers and products with a constant matrix",
    "batch_norm": "batch norm that could not be folded: one factor and one bias a channel",
    "average_pool": "averages: average pooling, adaptive pooling, means",
    "interpolation": "upsampling by interpolation, cumulative sums, values added into places",
    "max_pool": "max pooling",
    "sum": "sums of two values that depend on the input (residual connections)",
    "shift": "sums of a value and a constant; log-softmax, whose normaliser counts as one",
    "scale": "products of a value and a constant",
    "gate": "products and quotients of two values that depend on the input",
    "concatenation": "concatenations, and choices among values",
    "reshape": "flatten, permute, slice, pad with zeros …: values are moved, not changed",
    "activation": "elementwise non-linearities",
    "softmax": "softmax",
    "log_sum_exp": "logarithms of sums of exponentials: maxima that are soft",
    "matmul": "products that depend on the input in each factor, norms of vectors, Fourier transforms, and other maps "
    "shared by contribution",
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


# Real numbers that only choose: like what is true or false, or an index, they are constant but for jumps.
CHOICES = frozenset("sign sgn heaviside".split())

# Checks that the exporter adds; they compute nothing.
BOOKKEEPING = frozenset(
    "_assert_tensor_metadata _assert_scalar _assert_async sym_constrain_range sym_constrain_range_for_size".split()
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
        "_upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d _upsample_bilinear2d_aa "
        "cumsum",
        sign="keeps",
    ),
    # Linear, but with coefficients of either sign, or with sums over places that overlap.
    **_table("matmul", "upsample_bicubic2d _upsample_bicubic2d_aa"),
    **_table("matmul", "col2im grid_sampler", sign="keeps", data=(0,)),
    **_table("matmul", "linalg_vector_norm var std", sign="nonnegative"),
    **_table("matmul", "prod", sign="keeps"),
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
        "reshape_as broadcast_to tile repeat_interleave rot90 gather take_along_dim diagonal tril triu take lift "
        "lift_fresh max_unpool2d max_unpool3d masked_select as_strided",
        sign="keeps",
        data=(0,),
    ),
    # What is written, and what is left of the value that it is written into.
    **_table("reshape", "fill copy", data=(1,)),
    **_table(
        "reshape", "slice_scatter select_scatter diagonal_scatter as_strided_scatter", pair="concatenation", data=(0, 1)
    ),
    **_table(
        "reshape",
        "masked_fill masked_scatter index_put _unsafe_index_put _unsafe_masked_index put",
        pair="concatenation",
        data=(0, 2),
    ),
    **_table("reshape", "index_copy index_fill scatter index_add scatter_add", pair="concatenation", data=(0, 3)),
    **_table("reshape", "where", pair="concatenation", data=(1, 2)),
    **_table("activation", "relu relu6 sigmoid hardsigmoid softplus clamp_min abs square", sign="nonnegative"),
    **_table(
        "activation",
        "leaky_relu prelu elu selu celu gelu silu mish tanh hardtanh hardswish softsign logsigmoid log_sigmoid "
        "hardshrink softshrink threshold clamp clamp_max exp expm1 log log1p sqrt rsqrt reciprocal pow erf atan rrelu "
        "_prelu_kernel log_sigmoid_forward",
    ),
    **_table("activation", "nan_to_num"),
    **_table("log_sum_exp", "logsumexp"),
    **_table("softmax", "softmax _softmax", sign="nonnegative"),
    **_table("attention", "scaled_dot_product_attention", pair="attention", data=(0, 1, 2, 3)),
    **_table(
        "layer_norm", "layer_norm native_layer_norm group_norm native_group_norm instance_norm rms_norm", data=(0,)
    ),
}

# Operations that take nothing of a value but its shape.
SHAPE_ONLY = frozenset(
    "new_zeros new_ones new_full new_empty new_empty_strided zeros_like ones_like full_like empty_like zero sym_size "
    "sym_numel sym_stride sym_storage_offset".split()
)

# Operations that take the values of one argument, and of the others nothing but the shape or type → its position.
CARRIER = {**dict.fromkeys("expand_as view_as reshape_as type_as".split(), 0), "fill": 1, "copy": 1}


_SYNONYMS = {"multiply": "mul", "subtract": "sub", "true_divide": "div", "divide": "div"}


def op_name(target: object) -> str:
    """Name of an operation without its namespace and overload: ``aten.conv2d.default`` → ``"conv2d"``."""
    schema = getattr(target, "_schema", None)
    name = schema.name.split("::")[-1] if schema is not None else getattr(target, "__name__", str(target))
    name = name.removesuffix("_") if not name.endswith("__") else name
    return _SYNONYMS.get(name, name)
