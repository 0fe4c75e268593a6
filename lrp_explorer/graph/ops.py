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
    "shift": "sums of a value and a constant",
    "scale": "products of a value and a constant",
    "gate": "products and quotients of two values that depend on the input",
    "concatenation": "concatenations",
    "reshape": "flatten, permute, slice, pad with zeros …: values are moved, not changed",
    "activation": "elementwise non-linearities",
    "softmax": "softmax",
    "matmul": "products of two matrices that both depend on the input",
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
        Its kind when one input depends on the model's input.
    pair : str or None
        Its kind when two of its inputs do; None means the same as `kind`.
    sign : {"any", "nonnegative", "keeps"}
        What is known of the output's sign: nothing, never negative, or never negative when no input is.
    """

    kind: str
    pair: str | None = None
    sign: Sign = "any"


def _table(kind: str, names: str, pair: str | None = None, sign: Sign = "any") -> dict[str, Op]:
    return {name: Op(kind, pair, sign) for name in names.split()}


OPS: dict[str, Op] = {
    **_table("convolution", "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
    **_table("linear", "linear addmm mm"),
    **_table("linear", "matmul bmm", pair="matmul"),
    **_table("batch_norm", "_native_batch_norm_legit_no_training batch_norm native_batch_norm"),
    **_table(
        "average_pool",
        "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d mean sum",
        sign="keeps",
    ),
    **_table(
        "interpolation",
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact2d upsample_linear1d "
        "upsample_bilinear2d upsample_trilinear3d _upsample_bilinear2d_aa",
        sign="keeps",
    ),
    **_table(
        "max_pool",
        "max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax",
        sign="keeps",
    ),
    **_table("shift", "add sub rsub", pair="sum", sign="keeps"),
    **_table("scale", "mul div", pair="gate", sign="keeps"),
    **_table("scale", "neg"),
    **_table("concatenation", "cat stack", sign="keeps"),
    **_table(
        "reshape",
        "view reshape _unsafe_view flatten unflatten permute transpose t squeeze unsqueeze expand repeat slice select "
        "split chunk unbind narrow index index_select roll flip clone contiguous alias detach pad constant_pad_nd "
        "reflection_pad2d replication_pad2d movedim swapaxes pixel_shuffle pixel_unshuffle channel_shuffle _to_copy "
        "dropout native_dropout feature_dropout lift_fresh_copy unfold to split_with_sizes "
        "tensor_split type_as expand_as view_as reshape_as native_channel_shuffle",
        sign="keeps",
    ),
    **_table("activation", "relu relu6 sigmoid hardsigmoid softplus clamp_min abs square", sign="nonnegative"),
    **_table(
        "activation",
        "leaky_relu prelu elu selu celu gelu silu mish tanh hardtanh hardswish softsign logsigmoid hardshrink "
        "softshrink threshold clamp exp log sqrt rsqrt pow erf rrelu _prelu_kernel log_sigmoid_forward",
    ),
    **_table("unknown", "einsum", pair="matmul"),
    **_table("softmax", "softmax _softmax", sign="nonnegative"),
    **_table("attention", "scaled_dot_product_attention"),
    **_table("layer_norm", "layer_norm native_layer_norm group_norm native_group_norm instance_norm rms_norm"),
    **_table("layer_norm", "linalg_vector_norm", sign="nonnegative"),
}


# Operations that take nothing of a value but its shape.
SHAPE_ONLY = frozenset(
    "new_zeros new_ones new_full new_empty zeros_like ones_like full_like empty_like sym_size".split()
)

# Operations that take the values of their first argument, and of the others nothing but the shape or type.
FIRST_ONLY = frozenset("expand_as view_as reshape_as type_as".split())


def op_name(target: object) -> str:
    """Name of an operation without its namespace and overload: ``aten.conv2d.default`` → ``"conv2d"``."""
    schema = getattr(target, "_schema", None)
    name = schema.name.split("::")[-1] if schema is not None else getattr(target, "__name__", str(target))
    return name.removesuffix("_") if not name.endswith("__") else name
