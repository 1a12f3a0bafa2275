"""Faults in the decoder, adapters, the mesh, and Hugging Face directories."""

from mutations.mutation import Mutation

ATTENTION, PAGED = "waltzjax/model/attention.py", "waltzjax/model/paged_attention.py"

MUTATIONS = (
    Mutation(
        "rope-scaling-swapped", ATTENTION,
        "return (1 - smooth) * freq / s.factor + smooth * freq",
        "return smooth * freq / s.factor + (1 - smooth) * freq",
        ("tests/model/test_transformer.py", "tests/model/test_families.py"),
        "Llama 3's high frequencies are stretched instead of its low ones",
    ),
    Mutation(
        "window-one-too-many", ATTENTION,
        "local_window_size=(window - 1, 0) if window else None",
        "local_window_size=(window, 0) if window else None",
        ("tests/model/test_attention.py",),
        "a token of Mistral sees one more than its window",
    ),
    Mutation(
        "packed-window-one-too-many", ATTENTION,
        "seen_BQS &= key_S > q_Q1 - window",
        "seen_BQS &= key_S >= q_Q1 - window",
        ("tests/model/test_packed_attention.py",),
        "the same in packed rows, so that trainer and sampler differ",
    ),
    Mutation(
        "packed-texts-see-each-other", ATTENTION,
        "seen_BQS = (key_S <= q_Q1) & (key_S >= start_BQ[:, :, None])",
        "seen_BQS = jnp.broadcast_to(key_S <= q_Q1, (B, size, width))",
        ("tests/model/test_packed_attention.py",),
        "a text in a packed row attends to its neighbours",
    ),
    Mutation(
        "span-short-of-a-block", ATTENTION,
        "width = min(count * size, size + min(n for n in (span, window, T) if n))",
        "width = min(count * size, min(n for n in (span, window, T) if n))",
        ("tests/model/test_packed_attention.py",),
        "the first queries of a block miss the beginning of their text",
    ),
    Mutation(
        "paged-window-one-too-many", PAGED,
        "seen_WTP = (ago_WTP >= 0) & (ago_WTP < window) if window else ago_WTP >= 0",
        "seen_WTP = (ago_WTP >= 0) & (ago_WTP <= window) if window else ago_WTP >= 0",
        ("tests/model/test_paged_attention.py",),
        "generation sees one token more than training does",
    ),
    Mutation(
        "pages-unscaled-when-joined", PAGED,
        "self.mass_BJGT * a + other.mass_BJGT * b,",
        "self.mass_BJGT + other.mass_BJGT,",
        ("tests/model/test_paged_attention.py",),
        "softmax over several pages does not sum to 1",
    ),
    Mutation(
        "adapter-unscaled", "waltzjax/model/lora.py",
        '"lora_b": low_rank["lora_b"] * scale}',
        '"lora_b": low_rank["lora_b"]}',
        ("tests/model/test_lora.py",),
        "adapters train at another scale than the one they are exported with",
    ),
    Mutation(
        "merged-twice-scaled", "waltzjax/model/lora.py",
        "(kernel.astype(jnp.float32) + scale * change)",
        "(kernel.astype(jnp.float32) + scale * scale * change)",
        ("tests/model/test_lora.py",),
        "an exported model is not the adapter that was trained",
    ),
    Mutation(
        "rslora-as-lora", "waltzjax/model/hf/peft.py",
        "alpha *= rank**0.5",
        "alpha *= 1",
        ("tests/model/test_lora.py",),
        "a rank-stabilised adapter of others is read at a fraction of its strength",
    ),
    Mutation(
        "output-kernels-split-the-wrong-way", "waltzjax/model/sharding.py",
        '(r"^layers/(o|down)/kernel$", P(None, "tensor", "fsdp")),',
        '(r"^layers/(o|down)/kernel$", P(None, "fsdp", "tensor")),',
        ("tests/model/test_sharding.py",),
        "activations cross the wire at every output projection",
    ),
    Mutation(
        "kernel-gradient-averaged-over-data", "waltzjax/model/zero.py",
        'return jax.lax.psum(change, "data")',
        'return jax.lax.pmean(change, "data")',
        ("tests/model/test_placed.py",),
        "on a mesh the step of matrices shrinks beside that of norms",
    ),
    Mutation(
        "head-gradient-averaged", "waltzjax/model/head.py",
        "return (jax.lax.psum(of_part_VD, _others(width_axis)),)",
        "return (jax.lax.pmean(of_part_VD, _others(width_axis)),)",
        ("tests/model/test_placed.py",),
        "on a mesh the unembedding learns more slowly than on one device",
    ),
    Mutation(
        "norms-swapped", "waltzjax/model/hf/weights.py",
        'LAYER = {"attn_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}',
        'LAYER = {"attn_norm": "post_attention_layernorm", "mlp_norm": "input_layernorm"}',
        ("tests/model/test_families.py", "tests/model/test_hf.py"),
        "there and back is exact, but the model that is loaded is another one",
    ),
    Mutation(
        "old-rope-theta", "waltzjax/model/hf/config.py",
        'old_rope = {"rope_theta": cfg.rope_theta, "rope_scaling"',
        'old_rope = {"rope_theta": 10_000.0, "rope_scaling"',
        ("tests/model/test_hf.py", "tests/model/test_families.py"),
        "transformers 4 reads an exported model with other positions",
    ),
)  # fmt: skip
